// The C ABI for C++17: handles that free themselves, and errors as a value or, if you like, an
// exception.
//
//   fusee::Plan plan = fusee::Plan::Load("digits.plan").or_throw();
//   fusee::Context context = fusee::Context::Create(plan).or_throw();
//   context.SetInputShape(0, {1, 1, 8, 8}).or_throw();
//   context.BindInput(0, pixels.data(), pixels.size() * sizeof(float)).or_throw();
//   context.Run().or_throw();
//   const fusee_tensor logits = context.Output(0).or_throw();
//
// Header-only; adds nothing to the ABI, whose rules on threads and lifetimes hold (fusee.h).
#ifndef FUSEE_FUSEE_HPP_
#define FUSEE_FUSEE_HPP_

#include <fusee/fusee.h>

#include <initializer_list>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

namespace fusee {

class Error : public std::runtime_error {
 public:
  Error(fusee_code code, const std::string& message) : std::runtime_error(message), code_(code) {}
  fusee_code code() const noexcept { return code_; }

 private:
  fusee_code code_;
};

// Success, or a code with a message.
class [[nodiscard]] Outcome {
 public:
  Outcome(fusee_status* status = nullptr) : status_(status, &fusee_status_free) {}
  bool ok() const noexcept { return status_ == nullptr; }
  fusee_code code() const noexcept { return fusee_status_code(status_.get()); }
  const char* message() const noexcept { return fusee_status_message(status_.get()); }
  void or_throw() const {
    if (!ok()) throw Error(code(), message());
  }

 private:
  std::unique_ptr<fusee_status, decltype(&fusee_status_free)> status_;
};

// A value, or the Outcome that explains why there is none.
template <typename T>
class [[nodiscard]] Expected {
 public:
  Expected(T value) : value_(std::move(value)) {}
  Expected(Outcome outcome) : outcome_(std::move(outcome)) {}
  bool ok() const noexcept { return value_.has_value(); }
  const Outcome& outcome() const noexcept { return outcome_; }
  T& value() { return *value_; }  // precondition: ok()
  T or_throw() && {
    outcome_.or_throw();
    return std::move(*value_);
  }

 private:
  Outcome outcome_;
  std::optional<T> value_;
};

class Threads {
 public:
  static Expected<Threads> Create(int width = 0) {
    fusee_threads* handle = nullptr;
    if (Outcome o(fusee_threads_create(width, &handle)); !o.ok())
      return Expected<Threads>(std::move(o));
    return Threads(handle);
  }
  int width() const noexcept { return fusee_threads_width(handle_.get()); }
  fusee_threads* get() const noexcept { return handle_.get(); }

 private:
  explicit Threads(fusee_threads* handle) : handle_(handle, &fusee_threads_free) {}
  std::unique_ptr<fusee_threads, decltype(&fusee_threads_free)> handle_;
};

class Plan {
 public:
  static Expected<Plan> Load(const std::string& path, fusee_load_options options = {}) {
    options.struct_size = sizeof(options);
    fusee_plan* handle = nullptr;
    if (Outcome o(fusee_plan_load(path.c_str(), &options, &handle)); !o.ok())
      return Expected<Plan>(std::move(o));
    return Plan(handle);
  }
  fusee_plan_info info() const {
    fusee_plan_info info{};
    info.struct_size = sizeof(info);
    Outcome(fusee_plan_get_info(get(), &info)).or_throw();
    return info;
  }
  Expected<fusee_io_info> input(size_t index) const { return Io(&fusee_plan_get_input, index); }
  Expected<fusee_io_info> output(size_t index) const { return Io(&fusee_plan_get_output, index); }
  fusee_plan* get() const noexcept { return handle_.get(); }

 private:
  explicit Plan(fusee_plan* handle) : handle_(handle, &fusee_plan_free) {}
  template <typename Function>
  Expected<fusee_io_info> Io(Function get_io, size_t index) const {
    fusee_io_info info{};
    info.struct_size = sizeof(info);
    if (Outcome o(get_io(get(), index, &info)); !o.ok())
      return Expected<fusee_io_info>(std::move(o));
    return info;
  }
  std::unique_ptr<fusee_plan, decltype(&fusee_plan_free)> handle_;
};

class Context {
 public:
  // threads: borrowed, outlives the context; null: the calling thread alone.
  static Expected<Context> Create(const Plan& plan, const Threads* threads = nullptr) {
    fusee_context_options options{};
    options.struct_size = sizeof(options);
    options.threads = threads != nullptr ? threads->get() : nullptr;
    fusee_context* handle = nullptr;
    if (Outcome o(fusee_context_create(plan.get(), &options, &handle)); !o.ok())
      return Expected<Context>(std::move(o));
    return Context(handle);
  }
  Outcome SetInputShape(size_t input, std::initializer_list<int64_t> shape) {
    return fusee_context_set_input_shape(get(), input, shape.begin(),
                                         static_cast<int>(shape.size()));
  }
  Outcome BindInput(size_t input, const void* data, size_t bytes) {
    return fusee_context_bind_input(get(), input, data, bytes);
  }
  Outcome BindOutput(size_t output, void* data, size_t capacity) {
    return fusee_context_bind_output(get(), output, data, capacity);
  }
  Outcome Prepare() { return fusee_context_prepare(get()); }
  Outcome Run() { return fusee_context_run(get()); }
  Expected<fusee_tensor> Input(size_t input) {
    fusee_tensor tensor{};
    tensor.struct_size = sizeof(tensor);
    if (Outcome o(fusee_context_input(get(), input, &tensor)); !o.ok())
      return Expected<fusee_tensor>(std::move(o));
    return tensor;
  }
  Expected<fusee_tensor> Output(size_t output) const {
    fusee_tensor tensor{};
    tensor.struct_size = sizeof(tensor);
    if (Outcome o(fusee_context_output(get(), output, &tensor)); !o.ok())
      return Expected<fusee_tensor>(std::move(o));
    return tensor;
  }
  fusee_context* get() const noexcept { return handle_.get(); }

 private:
  explicit Context(fusee_context* handle) : handle_(handle, &fusee_context_free) {}
  std::unique_ptr<fusee_context, decltype(&fusee_context_free)> handle_;
};

}  // namespace fusee

#endif  // FUSEE_FUSEE_HPP_
