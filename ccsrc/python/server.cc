#include "server/server.h"

#include <malloc.h>
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include "python/bindings.h"
#include "python/events.h"

namespace py = pybind11;

namespace msfl::python {
namespace {

using FeatureTuple = std::tuple<std::string, py::array_t<float, py::array::c_style>, bool>;

class ServerHandle {
 public:
  explicit ServerHandle(const ServerOptions& options)
      : events_(std::make_shared<EventQueue>()),
        server_(std::make_unique<server::Server>(
            options,
            [events = events_](job::IterationEnded ended) {
              Event event;
              event.kind = "iteration_ended";
              event.ended = std::move(ended);
              events->Push(std::move(event));
            },
            [events = events_](std::string fault) {
              Event event;
              event.kind = "stopped";
              event.text = std::move(fault);
              events->Push(std::move(event));
            })) {}

  ~ServerHandle() { Stop(); }

  void Start(const std::vector<FeatureTuple>& features, std::uint64_t first_iteration) {
    std::vector<server::StartFeature> start;
    for (const auto& [name, values, require_aggr] : features) {
      server::StartFeature feature;
      feature.feature.name = name;
      feature.feature.shape.assign(values.shape(), values.shape() + values.ndim());
      feature.feature.elements = static_cast<std::size_t>(values.size());
      feature.feature.require_aggr = require_aggr;
      feature.values = values.data();
      start.push_back(std::move(feature));
    }
    ListenToLog(events_);
    const py::gil_scoped_release released;
    const Result<void> started = server_->Start(start, first_iteration);
    if (!started) {
      Stop();
      throw CoreError(started.error());
    }
  }

  std::optional<Event> NextEvent(double timeout) {
    const py::gil_scoped_release released;
    return events_->Pop(std::chrono::duration<double>(timeout));
  }

  void Stop() {
    server_->Stop();
    IgnoreLog(events_);
  }

  server::Server& server() { return *server_; }

 private:
  std::shared_ptr<EventQueue> events_;
  std::unique_ptr<server::Server> server_;
};

}  // namespace

void BindServer(py::module_& module) {
  py::class_<ServerHandle>(module, "Server")
      .def(py::init<const ServerOptions&>(), py::arg("options"))
      .def("start", &ServerHandle::Start, py::arg("features"), py::arg("first_iteration"))
      .def_static("return_memory",
                  [] {
                    const py::gil_scoped_release released;
#ifdef __GLIBC__
                    ::malloc_trim(0);
#endif
                  })
      .def("next_event", &ServerHandle::NextEvent, py::arg("timeout"))
      .def(
          "recorded",
          [](ServerHandle& handle, std::uint64_t iteration) { handle.server().NoteRecorded(iteration); },
          py::arg("iteration"))
      .def("stop",
           [](ServerHandle& handle) {
             const py::gil_scoped_release released;
             handle.Stop();
           })
      .def_property_readonly("http_port", [](ServerHandle& handle) { return handle.server().http_port(); })
      .def_property_readonly("node_id", [](ServerHandle& handle) { return handle.server().node_id(); })
      .def_property_readonly("instance_name",
                             [](ServerHandle& handle) { return handle.server().instance_name(); })
      .def_property_readonly("service", [](ServerHandle& handle) { return handle.server().service(); })
      .def_property_readonly("stats", [](ServerHandle& handle) {
        const py::gil_scoped_release released;
        return handle.server().Stats();
      });
}

}  // namespace msfl::python
