// The configuration of one Server as plain values, filled by the Python layer, which has checked every range
// and explains every mistake. Nothing here has a default of its own that matters: the defaults live in
// mindspore_federated/config.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace msfl {

struct RoundOptions {
  std::uint64_t start_fl_job_threshold = 1;
  double update_model_ratio = 1.0;
  std::uint64_t start_fl_job_time_window = 0;      // ms
  std::uint64_t update_model_time_window = 0;      // ms
  std::uint64_t global_iteration_time_window = 0;  // ms
  bool require_all_features = false;
  // Updates with which an iteration whose window is over is used instead of thrown away; 0: never.
  std::uint64_t minimum = 0;
};

struct ClientPlan {  // told to devices in startFLJob
  std::int32_t epochs = 25;
  std::int32_t batch_size = 32;
  float learning_rate = 0.001F;
};

// What one Server bears (docs/limits.md).
struct LimitOptions {
  std::uint64_t body_memory = std::uint64_t{1} << 30;  // bytes
  std::uint64_t body_wait_ms = 20'000;                 // for room in it
  double address_share = 1;                            // of connections, requests that wait, body_memory
  std::uint64_t header_ms = 10'000;                    // from a request's first byte to the end of its header
  std::uint64_t idle_ms = 50'000;                      // between requests
  std::uint64_t stall_ms = 30'000;                     // without a byte of a body
  std::uint64_t minimum_rate = 0;                      // bytes per second of a body, after stall_ms; 0: any
  std::uint64_t transfer_ms = 3'600'000;               // for a whole body
  std::uint64_t fl_id_bytes = 256;
};

struct ServerOptions {
  std::string fl_name;
  std::string server_mode = "FEDERATED_LEARNING";
  std::uint64_t iterations = 1;  // fl_iteration_num

  // Where to listen: an IP address, a wildcard (0.0.0.0, ::) or, for http_host, a name; no brackets.
  std::string http_host;
  std::uint16_t http_port = 0;  // 0: a free one
  std::string http_url_prefix;  // in front of the round's name; slashes around it are optional
  std::uint64_t connection_limit = 10000;
  std::string tcp_server_ip = "127.0.0.1";
  // How others reach this Server: a host name or IP address without brackets. Empty for the one that is
  // bound; needed if that is a wildcard.
  std::string advertise_host;
  std::string cache_address;
  std::uint64_t cache_patience_ms = 900'000;  // how long a refused connection is tried again at start
  std::uint64_t io_threads = 0;               // 0: as many as cores, at most 8

  RoundOptions round;
  ClientPlan client;
  // Hyper-parameters as published in the cache (names of /queryInstance -> text). Numbers of `round` and
  // `client` in it are adopted from the cache when the job is known there already.
  std::map<std::string, std::string> hyper_parameters;

  // What all Servers that run together have to have alike: key of the YAML file -> value as text.
  std::map<std::string, std::string> cluster_settings;
  // Where being as 0.2 and being better exclude each other: as 0.2 (docs/compatibility.md).
  bool as_release_0_2 = false;

  // Values of startFLJob's cipher parameters; handed to devices whatever encrypt_type is.
  std::string encrypt_type = "NOT_ENCRYPT";
  float dp_eps = 50, dp_delta = 0.01F, dp_norm_clip = 1;
  float sign_k = 0.01F, sign_eps = 100, sign_thr_ratio = 0.6F, sign_global_lr = 0.1F;
  std::int32_t sign_dim_out = 0;
  float laplace_eval_eps = 100;
  std::int32_t reconstruct_secrets_threshold = 0;
  float upload_sparse_rate = 0.4F;

  // Bounds, in minutes, of the participation buckets of the metrics line (summary.participation_time_level).
  std::uint64_t participation_time_level1 = 5, participation_time_level2 = 15;

  // Whether a switch waits until the Python layer has written its files, and how long.
  bool await_record = true;
  std::uint64_t record_patience_ms = 60'000;

  // How long getModel and getResult of the running iteration are held before they answer "not ready".
  std::uint64_t hold_ms = 0;
  LimitOptions limits;
  // Newest evaluation vectors of devices that are kept in the cache; 0: none (rounds.md, section 14).
  std::uint64_t evaluation_items = 0;

  // How many other Servers hold each update before it is counted (recovery.replicas).
  std::uint64_t recovery_replicas = 0;
  // Where a Server alone keeps updates (recovery.journal), and the last one its sum when it stops; empty:
  // nowhere.
  std::string recovery_folder;
  bool recovery_journal = false;
  // How long a Server may be without a heartbeat until others take it for dead (recovery.dead_after).
  std::uint64_t dead_after_ms = 10'000;
};

}  // namespace msfl
