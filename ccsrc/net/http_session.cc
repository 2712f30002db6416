#include "net/http_session_impl.h"

namespace msfl::net {

template class HttpSession<TcpStream>;

}  // namespace msfl::net
