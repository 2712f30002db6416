// The private module `_core`; the public API is Python. See mindspore_federated/_core.pyi.
#include <pybind11/pybind11.h>

#include "python/bindings.h"

PYBIND11_MODULE(_core, module) {
  module.doc() = "The C++ core of mindspore_federated. Private.";
  module.attr("__version__") = MSFL_VERSION;
  msfl::python::BindErrors(module);
  msfl::python::BindOptions(module);
  msfl::python::BindEvents(module);
  msfl::python::BindServer(module);
  msfl::python::BindScripts(module);
  msfl::python::BindLoad(module);
}
