// SPDX-License-Identifier: Apache-2.0
#include "numpy/startable_threads.h"

#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <mutex>
#include <vector>

#if defined(__linux__)
#include <sys/syscall.h>
#endif

namespace fastreg {
namespace {

// What OpenMP's threads get where the environment says so ("512k", "1 G"; a plain number counts
// KiB), else 0.
size_t stack_size_of_openmp() {
  for (const char* name : {"OMP_STACKSIZE", "GOMP_STACKSIZE"}) {
    const char* text = std::getenv(name);
    if (text == nullptr) continue;
    char* unit;
    const size_t number = std::strtoull(text, &unit, 10);
    while (*unit == ' ') ++unit;
    const int shift = *unit == 'B' || *unit == 'b'   ? 0
                      : *unit == 'M' || *unit == 'm' ? 20
                      : *unit == 'G' || *unit == 'g' ? 30
                                                     : 10;
    if (number > 0) return number << shift;
  }
  return 0;
}

// Memory for what OpenMP itself needs, held while threads are counted.
class Reserve {
 public:
  explicit Reserve(size_t size)
      : size_(size),
        memory_(mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {}
  ~Reserve() {
    if (is_held()) munmap(memory_, size_);
  }
  Reserve(const Reserve&) = delete;
  Reserve& operator=(const Reserve&) = delete;
  bool is_held() const { return memory_ != MAP_FAILED; }

 private:
  size_t size_;
  void* memory_;
};

struct Waiting {
  pthread_t thread;
  std::mutex* gate;
  long id = 0;
};

void* wait_at_gate(void* given) {
  Waiting& waiting = *static_cast<Waiting*>(given);
#if defined(__linux__)
  waiting.id = syscall(SYS_gettid);
#endif
  const std::lock_guard<std::mutex> passed(*waiting.gate);
  return nullptr;
}

// A thread that has ended counts for a moment longer: until the system no longer knows it.
void wait_until_gone([[maybe_unused]] long id) {
#if defined(__linux__)
  constexpr int kPatience = 1000;
  for (int i = 0; i < kPatience && syscall(SYS_tgkill, getpid(), id, 0) == 0; ++i) sched_yield();
#endif
}

}  // namespace

int startable_threads(int wanted) {
  const Reserve reserve((size_t{1} << 20) + static_cast<size_t>(wanted) * (size_t{1} << 13));
  if (!reserve.is_held()) return 0;
  std::vector<Waiting> threads(static_cast<size_t>(wanted));
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  if (const size_t size = stack_size_of_openmp()) pthread_attr_setstacksize(&attributes, size);

  std::mutex gate;
  gate.lock();
  int started = 0;
  for (Waiting& waiting : threads) {
    waiting.gate = &gate;
    if (pthread_create(&waiting.thread, &attributes, wait_at_gate, &waiting) != 0) break;
    ++started;
  }
  gate.unlock();
  for (int i = 0; i < started; ++i) {
    pthread_join(threads[i].thread, nullptr);
    wait_until_gone(threads[i].id);
  }
  pthread_attr_destroy(&attributes);
  return started;
}

}  // namespace fastreg
