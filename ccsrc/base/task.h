// The coroutine type of the house. A Task runs on one event loop and resumes there, so that what belongs to a
// loop (its connections, its link to the cache) needs no lock.
//
// GCC 12 miscompiles `co_await f(Aggregate{...})` and `co_await` in both arms of `?:`. Arguments of a
// coroutine are therefore named variables, or types with constructors.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace msfl {

namespace asio = boost::asio;

using Executor = asio::io_context::executor_type;

template <class T = void>
using Task = asio::awaitable<T, Executor>;

inline constexpr asio::use_awaitable_t<Executor> kAwait{};

}  // namespace msfl
