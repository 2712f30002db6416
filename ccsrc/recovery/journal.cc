#include "recovery/journal.h"

#define XXH_INLINE_ALL
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <filesystem>
#include <random>
#include <utility>

#include "base/buffer.h"
#include "base/log.h"
#include "net/peer_frame.h"

namespace msfl::recovery {

namespace {

constexpr char kMagic[8] = {'M', 'S', 'F', 'L', 'J', 'R', 'N', '1'};
constexpr char kSuffix[] = ".journal";
constexpr std::uint32_t kKind = 1;

struct Prelude {
  std::uint32_t kind = kKind, head_bytes = 0;
  std::uint64_t payload_bytes = 0, hash = 0;
};
static_assert(sizeof(Prelude) == 24);

std::string Fault(const std::string& what, const std::string& path) {
  return "can't " + what + " " + path + ": " + std::strerror(errno);
}

// The name of a job may hold anything.
std::string FileName(const std::string& fl_name) {
  std::string name;
  for (const char letter : fl_name) {
    const bool plain =
        std::isalnum(static_cast<unsigned char>(letter)) != 0 || letter == '-' || letter == '.';
    if (plain) {
      name += letter;
    } else {
      constexpr char kHex[] = "0123456789abcdef";
      name += {'%', kHex[static_cast<unsigned char>(letter) >> 4U], kHex[letter & 0xF]};
    }
  }
  return name + "_updates_";
}

std::string RandomName() {
  std::random_device random;
  char text[17];
  std::snprintf(text, sizeof text, "%08x%08x", random(), random());
  return text;
}

bool WriteFully(int descriptor, std::vector<iovec> pieces) {
  std::size_t first = 0;
  while (first < pieces.size()) {
    const ssize_t written = ::writev(descriptor, &pieces[first], static_cast<int>(pieces.size() - first));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    auto left = static_cast<std::size_t>(written);
    while (first < pieces.size() && left >= pieces[first].iov_len) left -= pieces[first++].iov_len;
    if (first == pieces.size()) break;
    pieces[first].iov_base = static_cast<std::uint8_t*>(pieces[first].iov_base) + left;
    pieces[first].iov_len -= left;
  }
  return true;
}

bool ReadFully(int descriptor, void* into, std::size_t size, std::uint64_t at) {
  auto* bytes = static_cast<std::uint8_t*>(into);
  while (size > 0) {
    const ssize_t read = ::pread(descriptor, bytes, size, static_cast<off_t>(at));
    if (read < 0 && errno == EINTR) continue;
    if (read <= 0) return false;
    bytes += read;
    at += static_cast<std::uint64_t>(read);
    size -= static_cast<std::size_t>(read);
  }
  return true;
}

struct Hasher {
  Hasher() { XXH3_64bits_reset(&state); }
  void Add(const void* data, std::size_t size) { XXH3_64bits_update(&state, data, size); }
  std::uint64_t Value() const { return XXH3_64bits_digest(&state); }
  alignas(64) XXH3_state_t state;
};

}  // namespace

Journal::Journal(std::string folder, std::string fl_name)
    : folder_(std::move(folder)), fl_name_(std::move(fl_name)), thread_([this] { Run(); }) {}

Journal::~Journal() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    wake_.notify_one();
  }
  thread_.join();
  if (descriptor_ < 0) return;
  if (forget_ || !has_updates_) ::unlink(path_.c_str());
  ::close(descriptor_);
}

void Journal::Forget() {
  const std::lock_guard lock(mutex_);
  forget_ = true;
}

std::uint64_t Journal::Enqueue(Record record) {
  record.number = next_;
  queue_.push_back(std::move(record));
  wake_.notify_one();
  return next_++;
}

void Journal::Restart(collective::Bytes begin) {
  Record record;
  record.restart = true;
  record.request = std::move(begin);
  const std::lock_guard lock(mutex_);
  Enqueue(std::move(record));
}

Task<bool> Journal::Append(collective::Bytes request, Payload payload) {
  Record record;
  record.request = std::move(request);
  record.payload = payload;
  std::uint64_t number = 0;
  {
    const std::lock_guard lock(mutex_);
    number = Enqueue(std::move(record));
  }
  // The payload is the caller's, so the end is waited for whatever happens; a disk does not answer at will.
  bool written = false;
  const auto done = [&] {
    if (done_ < number) return false;
    written = std::erase(failed_, number) == 0;
    return true;
  };
  static_cast<void>(co_await waiters_.Wait(mutex_, SteadyClock::time_point::max(), done));
  co_return written;
}

void Journal::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return stop_ || !queue_.empty(); });
    if (queue_.empty()) return;
    std::deque<Record> records;
    records.swap(queue_);
    lock.unlock();
    std::string fault;
    try {
      fault = WriteAll(records);
    } catch (const std::exception& error) {
      fault = error.what();
    }
    if (!fault.empty()) {
      MSFL_LOG(kError, "updates are not written to the journal until the next iteration: " << fault);
    }
    lock.lock();
    for (const Record& record : records) {
      if (!fault.empty() && !record.restart) failed_.push_back(record.number);
    }
    done_ = records.back().number;
    waiters_.WakeAll();
  }
}

// All of them with one wait for the disk.
std::string Journal::WriteAll(std::deque<Record>& records) {
  for (const Record& record : records) {
    std::string fault = WriteOne(record);
    if (fault.empty()) continue;
    // What is not whole would hide what comes after it.
    if (descriptor_ >= 0 && ::ftruncate(descriptor_, static_cast<off_t>(size_)) == 0)
      ::lseek(descriptor_, static_cast<off_t>(size_), SEEK_SET);
    const bool known = !fault_.empty();
    fault_ = fault;
    return known ? "as before, " + fault : fault;
  }
  if (descriptor_ >= 0 && ::fdatasync(descriptor_) != 0) return fault_ = Fault("write", path_);
  return {};
}

std::string Journal::WriteOne(const Record& record) {
  if (record.restart) {
    fault_.clear();
    if (descriptor_ >= 0 && ::ftruncate(descriptor_, sizeof kMagic) != 0) return Fault("empty", path_);
    if (descriptor_ >= 0) ::lseek(descriptor_, sizeof kMagic, SEEK_SET);
    size_ = sizeof kMagic;
    begin_ = record.request;
    has_updates_ = false;
    return {};
  }
  if (!fault_.empty()) return fault_;
  if (descriptor_ < 0) {
    std::string fault = Open();
    if (!fault.empty()) return fault;
  }
  if (!begin_.empty()) {
    Record begin;
    begin.request = std::exchange(begin_, {});
    std::string fault = WriteOne(begin);
    if (!fault.empty()) return fault;
  }
  const std::size_t frame = net::PeerFrame::kPreludeBytes;
  Prelude prelude;
  prelude.head_bytes = static_cast<std::uint32_t>(record.request.size() - frame);
  std::vector<iovec> pieces(2);
  auto* const head = const_cast<std::uint8_t*>(record.request.data() + frame);
  pieces[1] = iovec{head, prelude.head_bytes};
  Hasher hasher;
  hasher.Add(head, prelude.head_bytes);
  for (const asio::const_buffer& piece : record.payload) {
    hasher.Add(piece.data(), piece.size());
    prelude.payload_bytes += piece.size();
    pieces.push_back(iovec{const_cast<void*>(piece.data()), piece.size()});
  }
  prelude.hash = hasher.Value();
  pieces[0] = iovec{&prelude, sizeof prelude};
  if (!WriteFully(descriptor_, std::move(pieces))) return Fault("write", path_);
  size_ += sizeof prelude + prelude.head_bytes + prelude.payload_bytes;
  has_updates_ = true;
  return {};
}

std::string Journal::Open() {
  std::error_code failed;
  std::filesystem::create_directories(folder_, failed);
  path_ = folder_ + "/" + FileName(fl_name_) + RandomName() + kSuffix;
  const int opened = ::open(path_.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
  if (opened < 0) return Fault("make", path_);
  // Before there is anything in it that somebody else might take up.
  if (::flock(opened, LOCK_EX | LOCK_NB) != 0 || ::write(opened, kMagic, sizeof kMagic) != sizeof kMagic) {
    std::string fault = Fault("write", path_);
    ::unlink(path_.c_str());
    ::close(opened);
    return fault;
  }
  descriptor_ = opened;
  size_ = sizeof kMagic;
  // The file itself is to be there after a loss of power.
  const int parent = ::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (parent >= 0) {
    ::fsync(parent);
    ::close(parent);
  }
  return {};
}

std::vector<Journal::Found> Journal::Find(const std::string& folder, const std::string& fl_name) {
  std::vector<Found> found;
  std::error_code failed;
  const std::string begin = FileName(fl_name);
  for (const auto& entry : std::filesystem::directory_iterator(folder, failed)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(begin) || !name.ends_with(kSuffix)) continue;
    const int descriptor = ::open(entry.path().c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) continue;
    if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
      ::close(descriptor);  // of a Server that runs
      continue;
    }
    found.emplace_back(entry.path().string(), descriptor);
  }
  return found;
}

Journal::Found::Found(Found&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

Journal::Found::~Found() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

std::string Journal::Found::Read(std::uint64_t largest_payload, const OnRecord& record) const {
  char magic[sizeof kMagic];
  if (!ReadFully(descriptor_, magic, sizeof magic, 0) || std::memcmp(magic, kMagic, sizeof magic) != 0)
    return "it is no journal";
  std::uint64_t at = sizeof magic;
  Prelude prelude;
  Buffer memory;
  while (ReadFully(descriptor_, &prelude, sizeof prelude, at)) {
    if (prelude.kind != kKind || prelude.head_bytes > net::PeerFrame::kMaxHeadBytes ||
        prelude.payload_bytes > largest_payload)
      return "a record of it can't be read";
    // The payload begins where floats may be read.
    const std::size_t head_room = (prelude.head_bytes + 63) / 64 * 64;
    if (memory.capacity() < head_room + prelude.payload_bytes)
      memory = Buffer(head_room + prelude.payload_bytes);
    at += sizeof prelude;
    const std::span<std::uint8_t> head(memory.data(), prelude.head_bytes);
    const std::span<std::uint8_t> payload(memory.data() + head_room, prelude.payload_bytes);
    if (!ReadFully(descriptor_, head.data(), head.size(), at) ||
        !ReadFully(descriptor_, payload.data(), payload.size(), at + head.size()))
      return "its last record is not whole";
    Hasher hasher;
    hasher.Add(head.data(), head.size());
    hasher.Add(payload.data(), payload.size());
    if (hasher.Value() != prelude.hash) return "its last record is not whole";
    record(head, payload);
    at += head.size() + payload.size();
  }
  return {};
}

void Journal::Found::Remove() const { ::unlink(path_.c_str()); }

}  // namespace msfl::recovery
