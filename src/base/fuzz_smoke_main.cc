// A fuzz target without libFuzzer, so that every build can run it for a few seconds: seeded, no
// coverage, one process. Linked with one *_fuzz.cc.
//
//   X_fuzz_smoke [--seconds N] [--seed N] [FILE | FOLDER]...
//
// Inputs are the files given and what was made of them. What a crash or a hang was fed is written
// to crash-X beside the current folder's files, for `X_fuzz_smoke crash-X --seconds 0`, which runs
// the files as they are and nothing else.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
extern "C" __attribute__((weak)) size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size,
                                                                size_t max_size, unsigned seed);

namespace {

constexpr size_t kMaxInputBytes = 1 << 16;
constexpr size_t kMaxSeeds = 4096;
constexpr size_t kMaxPool = 8192;
constexpr unsigned kHangSeconds = 10;

std::mt19937& Random() {
  static std::mt19937 random;
  return random;
}
size_t Below(size_t n) { return n == 0 ? 0 : Random()() % n; }

// For the signal handler.
const uint8_t* running_data = nullptr;
size_t running_size = 0;
char crash_file[256];

void Die(int signal) {
  const int fd = ::open(crash_file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd >= 0) {
    (void)!::write(fd, running_data, running_size);
    ::close(fd);
  }
  static const char kText[] = "died; the input is in ";
  (void)!::write(STDERR_FILENO, kText, sizeof(kText) - 1);
  (void)!::write(STDERR_FILENO, crash_file, std::strlen(crash_file));
  (void)!::write(STDERR_FILENO, "\n", 1);
  std::signal(signal, SIG_DFL);
  std::raise(signal == SIGALRM ? SIGKILL : signal);
}

// An exact-size heap copy, so that reading one byte too far is seen by the sanitizers.
void RunOne(const std::vector<uint8_t>& input) {
  const std::vector<uint8_t> copy(input);
  running_data = copy.data();
  running_size = copy.size();
  ::alarm(kHangSeconds);
  LLVMFuzzerTestOneInput(copy.data(), copy.size());
  ::alarm(0);
}

void AddSeed(const std::filesystem::path& path, std::vector<std::vector<uint8_t>>* pool) {
  if (pool->size() >= kMaxSeeds) return;
  const auto bytes = fusee::ReadSmallFile(path.string(), kMaxInputBytes);
  if (bytes.ok()) pool->emplace_back(bytes->begin(), bytes->end());
}

}  // namespace

// What custom mutators call for bytes without structure.
extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size) {
  for (size_t edits = 1 + Below(4); edits > 0; --edits) {
    const size_t at = Below(size);
    switch (size == 0 ? 5 : Below(6)) {
      case 0: data[at] = static_cast<uint8_t>(data[at] ^ (1u << Below(8))); break;
      case 1: data[at] = static_cast<uint8_t>(Random()()); break;
      case 2: data[at] = Below(2) == 0 ? 0xff : 0; break;
      case 3: size -= Below(std::min<size_t>(size - at, 16)); break;
      case 4: {
        const size_t from = Below(size);
        std::memmove(data + at, data + from, Below(std::min(size - at, size - from)));
        break;
      }
      default:
        if (size < max_size) data[size++] = static_cast<uint8_t>(Random()());
        break;
    }
  }
  return std::max<size_t>(size, std::min<size_t>(max_size, 1));
}

int main(int argc, char** argv) {
  double seconds = 2;
  unsigned seed = 1;
  std::vector<std::vector<uint8_t>> pool;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--seconds" && i + 1 < argc) {
      seconds = std::atof(argv[++i]);
    } else if (word == "--seed" && i + 1 < argc) {
      seed = static_cast<unsigned>(std::atoi(argv[++i]));
    } else if (std::filesystem::is_directory(word)) {
      std::vector<std::filesystem::path> files;
      for (const auto& entry : std::filesystem::directory_iterator(word)) {
        if (entry.is_regular_file()) files.push_back(entry.path());
      }
      std::ranges::sort(files);
      for (const auto& file : files) AddSeed(file, &pool);
    } else {
      AddSeed(word, &pool);
    }
  }
  const std::string name = std::filesystem::path(argv[0]).filename().string();
  std::snprintf(crash_file, sizeof(crash_file), "crash-%s", name.c_str());
  // A stack of its own: the usual end of unbounded recursion is a full one.
  static char stack[1 << 16];
  const stack_t alternate = {.ss_sp = stack, .ss_flags = 0, .ss_size = sizeof(stack)};
  ::sigaltstack(&alternate, nullptr);
  struct sigaction action {};
  action.sa_handler = Die;
  action.sa_flags = SA_ONSTACK;
  for (const int signal : {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGALRM})
    ::sigaction(signal, &action, nullptr);
  Random().seed(seed);

  const size_t seeds = pool.size();
  for (size_t i = 0; i < seeds; ++i) RunOne(pool[i]);
  if (pool.empty()) pool.emplace_back();
  const fusee::TimePoint start = fusee::SteadyClock().Now();
  size_t runs = 0;
  std::vector<uint8_t> buffer(kMaxInputBytes);
  while (std::chrono::duration<double>(fusee::SteadyClock().Now() - start).count() < seconds) {
    // Mostly whole inputs: without coverage, mutants of mutants decay into what is refused at once.
    const bool fresh = seeds > 0 && Below(4) != 0;
    const std::vector<uint8_t>& base = pool[Below(fresh ? seeds : pool.size())];
    buffer.resize(kMaxInputBytes);
    std::ranges::copy(base, buffer.begin());
    const auto mutation_seed = static_cast<unsigned>(Random()());
    const size_t size =
        LLVMFuzzerCustomMutator != nullptr
            ? LLVMFuzzerCustomMutator(buffer.data(), base.size(), buffer.size(), mutation_seed)
            : LLVMFuzzerMutate(buffer.data(), base.size(), buffer.size());
    buffer.resize(size);
    RunOne(buffer);
    ++runs;
    // Mutants of mutants: a tenth replaces one that is no seed.
    if (Below(10) != 0) continue;
    if (pool.size() < seeds + kMaxPool) {
      pool.push_back(buffer);
    } else {
      pool[seeds + Below(kMaxPool)] = buffer;
    }
  }
  std::printf("%s: seed %u, %zu seed inputs, %zu mutants in %.1f s\n", name.c_str(), seed, seeds,
              runs, seconds);
  return 0;
}
