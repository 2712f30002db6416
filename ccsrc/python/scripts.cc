#include <pybind11/stl.h>

#include "cache/job_scripts.h"
#include "python/bindings.h"

namespace py = pybind11;

namespace msfl::python {

void BindScripts(py::module_& module) {
  module.def(
      "script",
      [](const std::string& name) {
        const std::optional<std::string_view> text = cache::ScriptText(name);
        if (!text) throw py::key_error("no Lua script is called '" + name + "'");
        return std::string(*text);
      },
      py::arg("name"));
}

}  // namespace msfl::python
