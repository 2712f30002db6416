#include "python/events.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <vector>

#include "python/bindings.h"

namespace py = pybind11;

namespace msfl::python {

void EventQueue::Push(Event event) {
  {
    const std::lock_guard lock(mutex_);
    if (event.kind == "log" && events_.size() >= kMaxLogLines) return;
    events_.push_back(std::move(event));
  }
  filled_.notify_one();
}

std::optional<Event> EventQueue::Pop(std::chrono::duration<double> timeout) {
  std::unique_lock lock(mutex_);
  filled_.wait_for(lock, timeout, [this] { return !events_.empty(); });
  if (events_.empty()) return std::nullopt;
  Event event = std::move(events_.front());
  events_.pop_front();
  return event;
}

namespace {

struct LogListeners {
  std::mutex mutex;
  std::vector<std::shared_ptr<EventQueue>> queues;
};

// Never destroyed, like the sink itself.
LogListeners& Listeners() {
  static auto* listeners = new LogListeners;
  return *listeners;
}

void TellNewest(const std::vector<std::shared_ptr<EventQueue>>& queues) {
  if (queues.empty()) {
    SetLogSink({});
    return;
  }
  SetLogSink([events = queues.back()](const LogLine& line) {
    Event event;
    event.kind = "log";
    event.level = line.level;
    event.text = line.text;
    event.file = std::string(line.file);
    event.line = line.line;
    events->Push(std::move(event));
  });
}

const char* StateWord(cache::InstanceState state) {
  switch (state) {
    case cache::InstanceState::kRunning:
      return "running";
    case cache::InstanceState::kDisable:
      return "disable";
    case cache::InstanceState::kFinish:
      return "finish";
    case cache::InstanceState::kStop:
      return "stop";
  }
  return "";
}

// Arrays that look into the model's own bytes and keep the model alive.
py::list Features(const Event& event) {
  py::list features;
  if (event.ended.model == nullptr) return features;
  const model::Model& model = *event.ended.model;
  py::capsule owner(new std::shared_ptr<const model::Model>(event.ended.model),
                    [](void* held) { delete static_cast<std::shared_ptr<const model::Model>*>(held); });
  for (std::size_t i = 0; i < model.layout().features().size(); ++i) {
    const model::Feature& feature = model.layout().features()[i];
    const std::vector<py::ssize_t> shape(feature.shape.begin(), feature.shape.end());
    py::array_t<float> values(shape, model.values(i).data(), owner);
    values.attr("flags").attr("writeable") = false;
    features.append(py::make_tuple(feature.name, values, feature.require_aggr));
  }
  return features;
}

}  // namespace

void ListenToLog(const std::shared_ptr<EventQueue>& events) {
  const std::lock_guard lock(Listeners().mutex);
  Listeners().queues.push_back(events);
  TellNewest(Listeners().queues);
}

void IgnoreLog(const std::shared_ptr<EventQueue>& events) {
  const std::lock_guard lock(Listeners().mutex);
  std::erase(Listeners().queues, events);
  TellNewest(Listeners().queues);
}

void BindEvents(py::module_& module) {
  module.def(
      "set_log_level", [](int level) { SetLogLevel(static_cast<LogLevel>(level)); }, py::arg("level"));
  py::class_<Event>(module, "Event")
      .def_readonly("kind", &Event::kind)
      .def_property_readonly("level", [](const Event& e) { return static_cast<int>(e.level); })
      .def_readonly("text", &Event::text)
      .def_readonly("file", &Event::file)
      .def_readonly("line", &Event::line)
      .def_property_readonly("instance_name", [](const Event& e) { return e.ended.key.instance; })
      .def_property_readonly("instance_status", [](const Event& e) { return StateWord(e.ended.state); })
      .def_property_readonly("iteration", [](const Event& e) { return e.ended.key.number; })
      .def_property_readonly("iterations", [](const Event& e) { return e.ended.iterations; })
      .def_property_readonly("writer", [](const Event& e) { return e.ended.writer; })
      .def_property_readonly("valid", [](const Event& e) { return e.ended.valid; })
      .def_property_readonly("reason", [](const Event& e) { return e.ended.reason; })
      .def_property_readonly("started_ms", [](const Event& e) { return e.ended.started_ms; })
      .def_property_readonly("ended_ms", [](const Event& e) { return e.ended.ended_ms; })
      .def_property_readonly("loss", [](const Event& e) { return e.ended.metric_sums.Mean().loss; })
      .def_property_readonly("accuracy", [](const Event& e) { return e.ended.metric_sums.Mean().accuracy; })
      .def_property_readonly("visits", [](const Event& e) { return e.ended.visits; })
      .def("features", &Features);
}

}  // namespace msfl::python
