// Results instead of exceptions between the floors: what failed, and the text that explains it to a person.
#pragma once

#include <boost/system/result.hpp>
#include <stdexcept>
#include <string>
#include <utility>

namespace msfl {

enum class Errc {
  kCacheUnavailable,  // the distributed cache can't be reached, or did not answer before the deadline
  kCacheRefused,      // the distributed cache answered with an error of its own (wrong type, no memory, ...)
  kInvalidArgument,   // a value given by the user can't be accepted; the text names it and what is allowed
  kDisagreement,      // this process and the job's record in the cache contradict each other
  kAddressInUse,      // a listening address is taken or can't be bound
  kStopping,          // the process or the job is on its way out
  kPeerUnavailable,   // another Server can't be reached, or does not move on
  kPeerRefused,       // another Server refuses what it was asked for
  kModelUnknown,      // another Server does not hold the model that it was asked for
  kNotFinite,         // an average is NaN or infinite
  kOutOfMemory,       // there is not enough memory for it now
};

struct Error {
  Errc code;
  std::string text;
};

template <class T>
using Result = boost::system::result<T, Error>;

// Found by boost::system::result::value() through argument-dependent lookup.
[[noreturn]] inline void throw_exception_from_error(const Error& error, const boost::source_location&) {
  throw std::runtime_error(error.text);
}

}  // namespace msfl
