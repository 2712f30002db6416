#include "collective/sum_reader.h"

#include <algorithm>
#include <utility>

namespace msfl::collective {

namespace {

// At the minimum rate, a second of progress that those who wait for the average are told of.
constexpr std::size_t kPieceElements = 16 * 1024;

template <class Element>
std::span<std::uint8_t> BytesOf(std::span<Element> elements) {
  return {reinterpret_cast<std::uint8_t*>(elements.data()), elements.size_bytes()};
}

}  // namespace

SumReader::SumReader(PeerCall& call, Envelope envelope, std::shared_ptr<Combination> combination,
                     std::size_t member, model::FlatRange range)
    : call_(call),
      envelope_(std::move(envelope)),
      combination_(std::move(combination)),
      member_(member),
      left_(range) {}

Task<bool> SumReader::Begin() {
  std::vector<std::uint64_t> sizes(combination_->data_sizes.size());
  const Bytes request =
      EncodeSumRequest(envelope_, combination_->key, combination_->members[member_].uploads, left_);
  const std::uint64_t payload = sizes.size() * sizeof sizes[0] + left_.size() * sizeof(double);
  while (true) {
    const bool asked = co_await call_.Ask(request, payload);
    if (!asked) co_return false;
    const bool read = co_await call_.Read(BytesOf(std::span(sizes)));
    if (read) break;
  }
  if (data_sizes_.empty()) {
    data_sizes_ = std::move(sizes);
  } else if (data_sizes_ != sizes) {
    call_.Fail(Errc::kDisagreement, "its data sizes are others than before");
    co_return false;
  }
  co_return true;
}

Task<bool> SumReader::Read(std::span<double> into) {
  while (!into.empty()) {
    const std::span<double> piece = into.first(std::min(kPieceElements, into.size()));
    call_.Renew();
    while (true) {
      if (!call_.answering()) {
        const bool begun = co_await Begin();
        if (!begun) co_return false;
      }
      const bool read = co_await call_.Read(BytesOf(piece));
      if (read) break;
    }
    combination_->progress.fetch_add(1, std::memory_order_relaxed);
    left_.begin += piece.size();
    into = into.subspan(piece.size());
  }
  if (left_.empty()) call_.Finish();
  co_return true;
}

}  // namespace msfl::collective
