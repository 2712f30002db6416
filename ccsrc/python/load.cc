#include <pybind11/functional.h>
#include <pybind11/stl.h>

#include "load/load_run.h"
#include "python/bindings.h"

namespace py = pybind11;

namespace msfl::python {
namespace {

using load::LoadOptions;
using load::LoadReport;

double Milliseconds(load::LatencyHistogram::Nanoseconds time) {
  return 1e-6 * static_cast<double>(time.count());
}

py::object LatencyDict(const load::LatencyHistogram& histogram) {
  if (histogram.count() == 0) return py::none();
  py::dict latency;
  latency["mean"] = 1e-6 * histogram.mean();
  latency["p50"] = Milliseconds(histogram.Quantile(0.5));
  latency["p95"] = Milliseconds(histogram.Quantile(0.95));
  latency["p99"] = Milliseconds(histogram.Quantile(0.99));
  latency["max"] = Milliseconds(histogram.max());
  return latency;
}

py::dict RoundDict(const load::RoundTally& tally) {
  py::dict round;
  round["accepted"] = tally.accepted;
  round["refused"] = tally.refused;
  round["not_ready"] = tally.not_ready;
  round["failed"] = tally.failed;
  round["bytes_sent"] = tally.bytes_sent;
  round["bytes_received"] = tally.bytes_received;
  round["seconds"] = tally.seconds;
  round["server_cpu_seconds"] = tally.server_cpu_seconds;
  round["latency_ms"] = LatencyDict(tally.accepted_latency);
  round["refused_latency_ms"] = LatencyDict(tally.refused_latency);
  return round;
}

py::dict ReportDict(const LoadReport& report) {
  py::dict rounds;
  for (std::size_t i = 0; i < load::kRounds; ++i) {
    rounds[load::kRoundNames[i]] = RoundDict(report.tally.rounds[i]);
  }
  py::dict result;
  result["ending"] = load::EndingName(report.ending);
  result["detail"] = report.detail;
  result["rounds"] = rounds;
  result["connect_latency_ms"] = LatencyDict(report.tally.connect_latency);
  result["connections_opened"] = report.tally.connections_opened;
  result["refusals"] = report.tally.refusals.counts;
  result["errors"] = report.tally.errors.counts;
  result["iterations"] = report.iterations;
  result["arrivals"] = report.arrivals;
  result["unanswered"] = report.unanswered;
  result["switch_ms"] = report.switch_ms;
  result["switch_server_cpu_seconds"] = report.switch_server_cpu_seconds;
  result["seconds"] = report.seconds;
  result["generator_cpu_seconds"] = report.generator_cpu_seconds;
  result["server_cpu_seconds"] = report.server_cpu_seconds;
  result["idle_connections"] = report.idle_connections;
  result["idle_lost"] = report.idle_lost;
  result["model_bytes"] = report.model_bytes;
  return result;
}

// What a progress line needs: some four times a second, so without latencies.
py::dict ProgressDict(const LoadReport& report) {
  py::dict progress;
  py::dict accepted;
  std::uint64_t failed = 0, refused = 0, sent = 0, received = 0;
  for (std::size_t i = 0; i < load::kRounds; ++i) {
    const load::RoundTally& round = report.tally.rounds[i];
    accepted[load::kRoundNames[i]] = round.accepted;
    failed += round.failed;
    refused += round.refused;
    sent += round.bytes_sent;
    received += round.bytes_received;
  }
  progress["seconds"] = report.seconds;
  progress["iterations"] = report.iterations;
  progress["connections_opened"] = report.tally.connections_opened;
  progress["accepted"] = accepted;
  progress["refused"] = refused;
  progress["failed"] = failed;
  progress["bytes_sent"] = sent;
  progress["bytes_received"] = received;
  return progress;
}

py::dict RunLoad(const LoadOptions& options, const std::function<bool(py::dict)>& progress) {
  load::LoadRun run(options, [&progress](const LoadReport& report) {
    const py::gil_scoped_acquire held;
    return progress(ProgressDict(report));
  });
  const Result<LoadReport> report = [&run] {
    const py::gil_scoped_release released;
    return run.Run();
  }();
  if (!report) throw CoreError(report.error());
  return ReportDict(*report);
}

}  // namespace

void BindLoad(py::module_& module) {
  py::class_<load::Target>(module, "LoadTarget")
      .def(py::init([](std::string address, std::uint16_t port, std::string host, std::string path) {
             return load::Target{std::move(address), port, std::move(host), std::move(path)};
           }),
           py::arg("address"), py::arg("port"), py::arg("host"), py::arg("path"));
  py::class_<LoadOptions>(module, "LoadOptions")
      .def(py::init<>())
      .def_readwrite("targets", &LoadOptions::targets)
      .def_readwrite("rounds", &LoadOptions::rounds)
      .def_readwrite("devices", &LoadOptions::devices)
      .def_readwrite("iterations", &LoadOptions::iterations)
      .def_readwrite("seconds", &LoadOptions::seconds)
      .def_readwrite("rate", &LoadOptions::rate)
      .def_readwrite("connections", &LoadOptions::connections)
      .def_readwrite("idle_connections", &LoadOptions::idle_connections)
      .def_readwrite("source_addresses", &LoadOptions::source_addresses)
      .def_readwrite("data_size", &LoadOptions::data_size)
      .def_readwrite("timeout", &LoadOptions::timeout)
      .def_readwrite("patience", &LoadOptions::patience)
      .def_readwrite("poll", &LoadOptions::poll)
      .def_readwrite("server_pids", &LoadOptions::server_pids);
  module.def("run_load", &RunLoad, py::arg("options"), py::arg("progress"));
}

}  // namespace msfl::python
