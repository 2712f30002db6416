// A cache that answers from memory, at once: in a program that links this, RedisClient asks the record below
// instead of a Redis. What stands above it (JobStore, Job, the rounds) is the real thing.
//
// The answers are those of ccsrc/cache/scripts for one Server whose windows never end.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <set>
#include <string>

namespace msfl::fuzz {

struct CacheRecord {
  std::string instance;
  std::uint64_t iteration = 1;
  int state = 0;
  bool valid = true;
  std::string reason, digest;
  std::map<std::string, std::string> hyper;
  std::string model_description;
  std::string node_id, tcp_address;  // of the one Server
  std::uint64_t epoch = 0;
  std::deque<std::string> evaluations;

  struct Device {
    std::uint64_t data_size = 0, eval_data_size = 0;
    std::string nonce;  // "*": was told to start again
  };
  struct Update {
    bool counted = false;
    std::string nonce;
  };
  std::map<std::string, Device> devices;  // of the iteration
  std::map<std::string, Update> updates;
  std::set<std::string> withdrawn;
  std::uint64_t started = 0, leased = 0, counted = 0;
  // Every device counts as joined, with the data size of UnaskedDataSize(): an upload then needs no
  // startFLJob before it.
  bool everybody_joined = false;

  // A new instance in its first iteration; the model and the Server's registration stay.
  void BeginInstance(std::string name);
  void BeginIteration(std::uint64_t number);
};

// 1 to 65535, from the name.
std::uint64_t UnaskedDataSize(const std::string& fl_id);

// The record that every RedisClient of the program asks.
CacheRecord& Cache();

}  // namespace msfl::fuzz
