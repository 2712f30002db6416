// One function and one file for each concept.
#pragma once

#include <pybind11/pybind11.h>

#include <stdexcept>

namespace msfl::python {

struct CoreError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

void BindOptions(pybind11::module_& module);
void BindEvents(pybind11::module_& module);
void BindServer(pybind11::module_& module);

}  // namespace msfl::python
