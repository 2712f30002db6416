// One function and one file for each concept.
#pragma once

#include <pybind11/pybind11.h>

#include <stdexcept>

#include "base/error.h"

namespace msfl::python {

struct CoreError : std::runtime_error {
  explicit CoreError(const Error& error) : std::runtime_error(error.text), code(error.code) {}
  Errc code;
};

void BindErrors(pybind11::module_& module);
void BindOptions(pybind11::module_& module);
void BindEvents(pybind11::module_& module);
void BindServer(pybind11::module_& module);
void BindScripts(pybind11::module_& module);
void BindLoad(pybind11::module_& module);

}  // namespace msfl::python
