// What all targets ask of the sanitizers; the environment may ask otherwise.

// Freed memory is kept apart for a while, but the default of 256 MB costs more than it finds in inputs this
// small.
extern "C" __attribute__((visibility("default"))) const char* __asan_default_options() {
  return "quarantine_size_mb=16:malloc_context_size=10";
}

extern "C" __attribute__((visibility("default"))) const char* __ubsan_default_options() {
  return "print_stacktrace=1:halt_on_error=1";
}
