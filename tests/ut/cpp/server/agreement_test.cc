// A Server that starts under a name that the cache knows: what must be equal, what is adopted, and what it is
// told.
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_future.hpp>
#include <functional>
#include <mutex>
#include <thread>

#include "base/log.h"
#include "server/server_fixture.h"

namespace msfl::server {
namespace {

class AgreementTest : public ServerTest {
 protected:
  void TearDown() override { SetLogSink({}); }

  ServerOptions Options(std::map<std::string, std::string> changed = {}) {
    ServerOptions options = ServerTest::Options();
    options.io_threads = 1;
    options.hyper_parameters = {
        {"enable_ssl", "false"},         {"pki_verify", "false"},          {"dp_eps", "50.0"},
        {"start_fl_job_threshold", "1"}, {"client_learning_rate", "0.01"}, {"fl_iteration_num", "2"}};
    for (const auto& [name, value] : changed) options.hyper_parameters[name] = value;
    return options;
  }

  // The error's text; empty if it started, and was stopped again.
  std::string Start(const ServerOptions& options, std::vector<std::string> names = {"w"}) {
    std::vector<StartFeature> features;
    for (const std::string& name : names) {
      StartFeature feature;
      feature.feature.name = name;
      feature.feature.shape = {2};
      feature.feature.elements = 2;
      feature.feature.require_aggr = true;
      feature.values = values_;
      features.push_back(feature);
    }
    Server server(
        options, [](job::IterationEnded) {}, [](const std::string&) {});
    const Result<void> started = server.Start(features, 1);
    server.Stop();
    return started ? std::string() : started.error().text;
  }

  void OnStore(const std::function<void(net::EventLoops&, cache::JobStore&)>& use) {
    net::EventLoops loops(1);
    loops.Start();
    cache::RedisOptions redis_options;
    redis_options.address = *cache::RedisAddress::Parse(redis_.address());
    cache::RedisClient client(loops, redis_options);
    EXPECT_TRUE(client.Connect(std::chrono::seconds(5)));
    cache::JobStoreOptions options;
    options.fl_name = "server test";
    options.iterations = 2;
    cache::JobStore store(client, options);
    use(loops, store);
    client.Stop();
    loops.Stop();
  }
  void SetState(cache::InstanceState state) {
    OnStore([state](net::EventLoops& loops, cache::JobStore& store) {
      const cache::IterationKey any{"unknown", 1};
      EXPECT_TRUE(asio::co_spawn(loops.control(), store.SetState(any, state), asio::use_future).get());
    });
  }
};

TEST_F(AgreementTest, TlsAndDeviceCertificatesMustBeTheSame) {
  EXPECT_EQ(Start(Options()), "");
  EXPECT_EQ(Start(Options({{"enable_ssl", "true"}}))
                .find("Sync hyper params with distributed cache failed, distributed_cache_address: " +
                      cache::RedisAddress::Parse(redis_.address())->ForDisplay() +
                      ": Context 'enable_ssl' true of local != that false declared in distributed cache."),
            0U);
  EXPECT_NE(Start(Options({{"pki_verify", "true"}}))
                .find("Context 'pki_verify' true of local != that false declared in distributed cache."),
            std::string::npos);
  EXPECT_EQ(Start(Options()), "");
}

TEST_F(AgreementTest, TheRestIsAdoptedAndToldOnce) {
  EXPECT_EQ(Start(Options()), "");
  std::mutex mutex;
  std::vector<std::string> warnings;
  SetLogSink([&](const LogLine& line) {
    const std::lock_guard lock(mutex);
    if (line.level >= LogLevel::kWarning) warnings.push_back(line.text);
  });
  EXPECT_EQ(Start(Options()), "");
  EXPECT_EQ(warnings, std::vector<std::string>());
  EXPECT_EQ(Start(Options({{"dp_eps", "40.0"}, {"start_fl_job_threshold", "3"}})), "");
  const std::lock_guard lock(mutex);
  ASSERT_EQ(warnings.size(), 1U);
  EXPECT_NE(
      warnings[0].find("dp_eps: file says 40.0, the running instance has 50.0; start_fl_job_threshold: file "
                       "says 3, the running instance has 1"),
      std::string::npos)
      << warnings[0];
  EXPECT_NE(warnings[0].find("/newInstance"), std::string::npos);
}

TEST_F(AgreementTest, AnotherModelIsRefusedWithEveryDifference) {
  EXPECT_EQ(Start(Options()), "");
  const std::string other = Start(Options(), {"v", "w"});
  EXPECT_EQ(
      other.find("The number 2 of local features != the number 1 declared in the the distributed cache"), 0U);
  EXPECT_NE(other.find("\n  v: local 8 bytes, shape (2), require_aggr true; declared missing\n"),
            std::string::npos);
  EXPECT_EQ(other.find("\n  w:"), std::string::npos);
  EXPECT_NE(other.find("`msfl reset`, or choose another fl_name"), std::string::npos);
  const std::string none = Start(Options(), {});
  EXPECT_EQ(none.find("The number 0 of local features != the number 1 declared in the the distributed cache"),
            0U);
}

TEST_F(AgreementTest, AnEmptyModelStartsNoJob) {
  EXPECT_EQ(Start(Options(), {}), "the model has no feature; it needs at least one");
  EXPECT_EQ(Start(Options()), "");
}

TEST_F(AgreementTest, AStoppedJobSaysHowToGoOn) {
  EXPECT_EQ(Start(Options()), "");
  SetState(cache::InstanceState::kStop);
  const std::string refused = Start(Options());
  EXPECT_EQ(refused.find("Fl job server test is stopping, please retry again later"), 0U);
  for (const char* way : {"/enableFLS", "/newInstance", "`msfl reset`"}) {
    EXPECT_NE(refused.find(way), std::string::npos) << refused;
  }
  SetState(cache::InstanceState::kRunning);
  EXPECT_EQ(Start(Options()), "");
}

TEST_F(AgreementTest, AServerNamesTheInstanceItServes) {
  StartFeature feature;
  feature.feature.name = "w";
  feature.feature.shape = {2};
  feature.feature.elements = 2;
  feature.feature.require_aggr = true;
  feature.values = values_;
  const std::vector<StartFeature> features{feature};
  ServerOptions options = Options();
  options.await_record = false;
  Server server(
      options, [](job::IterationEnded) {}, [](const std::string&) {});
  EXPECT_EQ(server.instance_name(), "");
  ASSERT_TRUE(server.Start(features, 1));
  EXPECT_EQ(server.instance_name().substr(0, 2), "i_");
  OnStore([](net::EventLoops& loops, cache::JobStore& store) {
    const std::map<std::string, std::string> none;
    EXPECT_TRUE(asio::co_spawn(loops.control(), store.NewInstance("i_2", none), asio::use_future).get());
  });
  while (server.instance_name() != "i_2") std::this_thread::sleep_for(std::chrono::milliseconds(1));
  server.Stop();
}

}  // namespace
}  // namespace msfl::server
