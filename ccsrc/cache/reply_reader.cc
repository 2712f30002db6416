#include "cache/reply_reader.h"

#include <hiredis/read.h>

#include <new>
#include <utility>

namespace msfl::cache {

struct ReplyReader::Functions {
  static ReplyReader& Self(const redisReadTask* task) { return *static_cast<ReplyReader*>(task->privdata); }

  static void* String(const redisReadTask* task, char* text, std::size_t size) {
    ReplyReader& self = Self(task);
    RedisValue& slot = self.Slot(task);
    slot.kind = RedisValue::Kind::kText;
    slot.text.assign(text, size);
    if (task->type == REDIS_REPLY_ERROR && task->parent == nullptr) self.building_.error = true;
    return &slot;
  }
  static void* Array(const redisReadTask* task, int elements) {
    ReplyReader& self = Self(task);
    RedisValue& slot = self.Slot(task);
    // Of the whole reply: arrays lie in arrays.
    if (elements < 0 || elements > kMaxElements - self.elements_) return nullptr;
    self.elements_ += elements;
    slot.kind = RedisValue::Kind::kArray;
    return &slot;
  }
  static void* Integer(const redisReadTask* task, long long value) {
    RedisValue& slot = Self(task).Slot(task);
    slot.kind = RedisValue::Kind::kInteger;
    slot.integer = value;
    return &slot;
  }
  static void* Nil(const redisReadTask* task) {
    RedisValue& slot = Self(task).Slot(task);
    slot.kind = RedisValue::Kind::kNil;
    return &slot;
  }
  static void Free(void*) {}

  static redisReplyObjectFunctions table;
};

redisReplyObjectFunctions ReplyReader::Functions::table = {&String, &Array, &Integer, &Nil, &Free};

ReplyReader::ReplyReader() : reader_(redisReaderCreateWithFunctions(&Functions::table)) {
  if (reader_ == nullptr) throw std::bad_alloc();
  reader_->privdata = this;
}

ReplyReader::~ReplyReader() { redisReaderFree(reader_); }

RedisValue& ReplyReader::Slot(const redisReadTask* task) {
  if (task->parent == nullptr) {
    building_ = Reply();
    elements_ = 0;
    return building_.value;
  }
  // Grows as elements come: a length that is only claimed costs nothing. Nobody looks at the elements before
  // this one any more.
  std::vector<RedisValue>& array = static_cast<RedisValue*>(task->parent->obj)->array;
  const auto index = static_cast<std::size_t>(task->idx);
  if (index >= array.size()) array.resize(index + 1);
  return array[index];
}

void ReplyReader::Feed(const char* bytes, std::size_t size) {
  if (!fault_.empty()) return;
  unread_ += size;
  if (redisReaderFeed(reader_, bytes, size) != REDIS_OK) fault_ = reader_->errstr;
}

ReplyReader::Step ReplyReader::Next(Reply& reply) {
  if (!fault_.empty()) return Step::kBroken;
  void* object = nullptr;
  if (redisReaderGetReply(reader_, &object) != REDIS_OK) {
    fault_ = reader_->errstr;
    return Step::kBroken;
  }
  if (object == nullptr) {
    if (unread_ <= kMaxReplyBytes) return Step::kNeedsMore;
    fault_ = "a reply is larger than " + std::to_string(kMaxReplyBytes) + " bytes";
    return Step::kBroken;
  }
  reply = std::move(building_);
  unread_ = reader_->len - reader_->pos;
  return Step::kReply;
}

}  // namespace msfl::cache
