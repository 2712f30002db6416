#include <pybind11/pybind11.h>

#include "python/bindings.h"

namespace py = pybind11;

namespace msfl::python {
namespace {

const char* Word(Errc code) {
  switch (code) {
    case Errc::kCacheUnavailable:
      return "cache_unavailable";
    case Errc::kCacheRefused:
      return "cache_refused";
    case Errc::kInvalidArgument:
      return "invalid_argument";
    case Errc::kDisagreement:
      return "disagreement";
    case Errc::kAddressInUse:
      return "address_in_use";
    case Errc::kStopping:
      return "stopping";
    case Errc::kPeerUnavailable:
      return "peer_unavailable";
    case Errc::kPeerRefused:
      return "peer_refused";
    case Errc::kModelUnknown:
      return "model_unknown";
    case Errc::kNotFinite:
      return "not_finite";
    case Errc::kOutOfMemory:
      return "out_of_memory";
  }
  return "";
}

}  // namespace

void BindErrors(py::module_& module) {
  // Translators live as long as the interpreter, and so does the type that they need.
  static const py::handle type = py::exception<CoreError>(module, "CoreError", PyExc_RuntimeError).release();
  py::register_local_exception_translator([](std::exception_ptr thrown) {
    try {
      if (thrown) std::rethrow_exception(thrown);
    } catch (const CoreError& error) {
      const py::object instance = type(error.what());
      instance.attr("code") = Word(error.code);
      PyErr_SetObject(type.ptr(), instance.ptr());
    }
  });
}

}  // namespace msfl::python
