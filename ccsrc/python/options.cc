#include <pybind11/stl.h>

#include "options/server_options.h"
#include "python/bindings.h"

namespace py = pybind11;

namespace msfl::python {
namespace {

// A member of a member of ServerOptions as a plain attribute.
template <class Outer, class T>
void DefNested(py::class_<ServerOptions>& cls, const char* name, Outer ServerOptions::*outer,
               T Outer::*inner) {
  cls.def_property(
      name, [outer, inner](const ServerOptions& options) { return (options.*outer).*inner; },
      [outer, inner](ServerOptions& options, const T& value) { (options.*outer).*inner = value; });
}

}  // namespace

void BindOptions(py::module_& module) {
  py::class_<ServerOptions> cls(module, "ServerOptions");
  cls.def(py::init<>())
      .def_readwrite("fl_name", &ServerOptions::fl_name)
      .def_readwrite("server_mode", &ServerOptions::server_mode)
      .def_readwrite("iterations", &ServerOptions::iterations)
      .def_readwrite("http_host", &ServerOptions::http_host)
      .def_readwrite("http_port", &ServerOptions::http_port)
      .def_readwrite("http_url_prefix", &ServerOptions::http_url_prefix)
      .def_readwrite("connection_limit", &ServerOptions::connection_limit)
      .def_readwrite("tcp_server_ip", &ServerOptions::tcp_server_ip)
      .def_readwrite("cache_address", &ServerOptions::cache_address)
      .def_readwrite("cache_patience_ms", &ServerOptions::cache_patience_ms)
      .def_readwrite("io_threads", &ServerOptions::io_threads)
      .def_readwrite("hyper_parameters", &ServerOptions::hyper_parameters)
      .def_readwrite("cluster_settings", &ServerOptions::cluster_settings)
      .def_readwrite("as_release_0_2", &ServerOptions::as_release_0_2)
      .def_readwrite("encrypt_type", &ServerOptions::encrypt_type)
      .def_readwrite("dp_eps", &ServerOptions::dp_eps)
      .def_readwrite("dp_delta", &ServerOptions::dp_delta)
      .def_readwrite("dp_norm_clip", &ServerOptions::dp_norm_clip)
      .def_readwrite("sign_k", &ServerOptions::sign_k)
      .def_readwrite("sign_eps", &ServerOptions::sign_eps)
      .def_readwrite("sign_thr_ratio", &ServerOptions::sign_thr_ratio)
      .def_readwrite("sign_global_lr", &ServerOptions::sign_global_lr)
      .def_readwrite("sign_dim_out", &ServerOptions::sign_dim_out)
      .def_readwrite("laplace_eval_eps", &ServerOptions::laplace_eval_eps)
      .def_readwrite("reconstruct_secrets_threshold", &ServerOptions::reconstruct_secrets_threshold)
      .def_readwrite("upload_sparse_rate", &ServerOptions::upload_sparse_rate)
      .def_readwrite("participation_time_level1", &ServerOptions::participation_time_level1)
      .def_readwrite("participation_time_level2", &ServerOptions::participation_time_level2)
      .def_readwrite("advertise_host", &ServerOptions::advertise_host)
      .def_readwrite("await_record", &ServerOptions::await_record)
      .def_readwrite("record_patience_ms", &ServerOptions::record_patience_ms)
      .def_readwrite("hold_ms", &ServerOptions::hold_ms)
      .def_readwrite("evaluation_items", &ServerOptions::evaluation_items)
      .def_readwrite("recovery_replicas", &ServerOptions::recovery_replicas)
      .def_readwrite("recovery_folder", &ServerOptions::recovery_folder)
      .def_readwrite("recovery_journal", &ServerOptions::recovery_journal)
      .def_readwrite("dead_after_ms", &ServerOptions::dead_after_ms);
  DefNested(cls, "start_fl_job_threshold", &ServerOptions::round, &RoundOptions::start_fl_job_threshold);
  DefNested(cls, "update_model_ratio", &ServerOptions::round, &RoundOptions::update_model_ratio);
  DefNested(cls, "start_fl_job_time_window", &ServerOptions::round, &RoundOptions::start_fl_job_time_window);
  DefNested(cls, "update_model_time_window", &ServerOptions::round, &RoundOptions::update_model_time_window);
  DefNested(cls, "global_iteration_time_window", &ServerOptions::round,
            &RoundOptions::global_iteration_time_window);
  DefNested(cls, "require_all_features", &ServerOptions::round, &RoundOptions::require_all_features);
  DefNested(cls, "round_minimum", &ServerOptions::round, &RoundOptions::minimum);
  DefNested(cls, "client_epoch_num", &ServerOptions::client, &ClientPlan::epochs);
  DefNested(cls, "client_batch_size", &ServerOptions::client, &ClientPlan::batch_size);
  DefNested(cls, "client_learning_rate", &ServerOptions::client, &ClientPlan::learning_rate);
  DefNested(cls, "body_memory", &ServerOptions::limits, &LimitOptions::body_memory);
  DefNested(cls, "body_wait_ms", &ServerOptions::limits, &LimitOptions::body_wait_ms);
  DefNested(cls, "address_share", &ServerOptions::limits, &LimitOptions::address_share);
  DefNested(cls, "header_ms", &ServerOptions::limits, &LimitOptions::header_ms);
  DefNested(cls, "idle_ms", &ServerOptions::limits, &LimitOptions::idle_ms);
  DefNested(cls, "stall_ms", &ServerOptions::limits, &LimitOptions::stall_ms);
  DefNested(cls, "minimum_rate", &ServerOptions::limits, &LimitOptions::minimum_rate);
  DefNested(cls, "transfer_ms", &ServerOptions::limits, &LimitOptions::transfer_ms);
  DefNested(cls, "fl_id_bytes", &ServerOptions::limits, &LimitOptions::fl_id_bytes);
}

}  // namespace msfl::python
