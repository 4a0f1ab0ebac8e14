/* clang-format off */
/* Fusee's C ABI: load a plan, ask what it needs, run it.
 *
 *   fusee_plan* plan;
 *   fusee_status* status = fusee_plan_load("digits.plan", NULL, &plan);
 *   if (status) { fputs(fusee_status_message(status), stderr); return 1; }
 *   fusee_context* context;
 *   status = fusee_context_create(plan, NULL, &context);
 *   const int64_t shape[] = {1, 1, 8, 8};
 *   status = fusee_context_set_input_shape(context, 0, shape, 4);
 *   status = fusee_context_bind_input(context, 0, pixels, sizeof pixels);
 *   status = fusee_context_run(context);
 *   fusee_tensor logits = {.struct_size = sizeof logits};
 *   status = fusee_context_output(context, 0, &logits);
 *
 * Errors. Every function that can fail returns a fusee_status*: NULL is success; anything else is
 *   owned by the caller, who reads code and message and frees it. On failure, what out parameters
 *   point to is untouched.
 * Threads. A plan is immutable: use it from any number of threads. A context and a status belong to
 *   one thread at a time. A thread pool may serve several contexts; their parallel parts then take
 *   turns. No global state, no logging, no signal handlers, no environment except FUSEE_MAX_ISA,
 *   which lowers the instruction set used, and what fusee_device_open names.
 * Memory. fusee_context_create takes everything; after the first run at a shape, a run allocates
 *   nothing.
 * Versions. Structs begin with struct_size, which the caller sets to sizeof: older and newer
 *   libraries then agree on what both know; a struct_size that was not set is refused. Functions
 *   and fields are only ever added while FUSEE_ABI_VERSION stays.
 * NULL handles are not allowed unless said so.
 */
/* clang-format on */
#ifndef FUSEE_FUSEE_H_
#define FUSEE_FUSEE_H_

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define FUSEE_API __attribute__((visibility("default")))
#define FUSEE_MUST_USE __attribute__((warn_unused_result))
#else
#define FUSEE_API
#define FUSEE_MUST_USE
#endif

#ifdef __cplusplus
#define FUSEE_NOEXCEPT noexcept
extern "C" {
#else
#define FUSEE_NOEXCEPT
#endif

#define FUSEE_ABI_VERSION 1
#define FUSEE_MAX_RANK 8

/* The library's FUSEE_ABI_VERSION, and its release ("0.1.0", static storage). */
FUSEE_API uint32_t fusee_abi_version(void) FUSEE_NOEXCEPT;
FUSEE_API const char* fusee_version(void) FUSEE_NOEXCEPT;

/* --- status
 * --------------------------------------------------------------------------------------------------------
 */

typedef struct fusee_status fusee_status;

/* gRPC's canonical numbers. */
typedef enum fusee_code {
  FUSEE_OK = 0,
  FUSEE_INVALID_ARGUMENT = 3, /* wrong call, file or tensor; repeating it will not help */
  FUSEE_NOT_FOUND = 5,
  FUSEE_PERMISSION_DENIED = 7,
  FUSEE_RESOURCE_EXHAUSTED = 8, /* memory or a named limit */
  FUSEE_FAILED_PRECONDITION =
      9, /* a plan this machine or library cannot run; the message has the remedy */
  FUSEE_OUT_OF_RANGE = 11, /* a shape outside the plan's profile */
  FUSEE_UNIMPLEMENTED = 12,
  FUSEE_INTERNAL = 13, /* a defect of ours; please report */
  FUSEE_UNAVAILABLE = 14,
  FUSEE_DATA_LOSS = 15 /* a damaged file */
} fusee_code;

/* FUSEE_OK for NULL. */
FUSEE_API fusee_code fusee_status_code(const fusee_status* status) FUSEE_NOEXCEPT;
/* What, where, expected, got, next step. Valid until the status is freed; "" for NULL. */
FUSEE_API const char* fusee_status_message(const fusee_status* status) FUSEE_NOEXCEPT;
FUSEE_API void fusee_status_free(fusee_status* status) FUSEE_NOEXCEPT; /* NULL is allowed */
/* Frees text that a function below gave to the caller; NULL is allowed. */
FUSEE_API void fusee_text_free(char* text) FUSEE_NOEXCEPT;

/* --- tensors
 * -------------------------------------------------------------------------------------------------------
 */

/* Element types; the numbers equal ONNX's TensorProto.DataType. */
typedef enum fusee_dtype {
  FUSEE_F32 = 1,
  FUSEE_U8 = 2,
  FUSEE_I8 = 3,
  FUSEE_U16 = 4,
  FUSEE_I16 = 5,
  FUSEE_I32 = 6,
  FUSEE_I64 = 7,
  FUSEE_BOOL = 9,
  FUSEE_F16 = 10,
  FUSEE_F64 = 11,
  FUSEE_U32 = 12,
  FUSEE_U64 = 13,
  FUSEE_BF16 = 16,
  /* Storage of quantised models. In a buffer each element takes a whole byte, those of 2 and 4 bits
   * in its low bits (signed integers sign-extended); no two share one. */
  FUSEE_F8E4M3FN = 17,
  FUSEE_F8E4M3FNUZ = 18,
  FUSEE_F8E5M2 = 19,
  FUSEE_F8E5M2FNUZ = 20,
  FUSEE_U4 = 21,
  FUSEE_I4 = 22,
  FUSEE_F4E2M1 = 23,
  FUSEE_F8E8M0 = 24,
  FUSEE_U2 = 25,
  FUSEE_I2 = 26
} fusee_dtype;
/* "f32", "i64", ...; "invalid" for a number that is none. Static storage. */
FUSEE_API const char* fusee_dtype_name(fusee_dtype dtype) FUSEE_NOEXCEPT;
/* Bytes of one element, 0 for none. */
FUSEE_API size_t fusee_dtype_bytes(fusee_dtype dtype) FUSEE_NOEXCEPT;

/* A dense, row-major tensor somewhere in memory; who owns it and until when stands with each
 * function. */
typedef struct fusee_tensor {
  size_t struct_size;
  fusee_dtype dtype;
  int32_t rank;
  int64_t shape[FUSEE_MAX_RANK];
  void* data;
  size_t bytes; /* that the shape takes */
} fusee_tensor;

/* --- threads
 * -------------------------------------------------------------------------------------------------------
 */

typedef struct fusee_threads fusee_threads;

/* A pool of width threads, the calling one included; 0: as many CPUs as affinity and control group
 * allow. */
FUSEE_API FUSEE_MUST_USE fusee_status* fusee_threads_create(int width,
                                                            fusee_threads** out) FUSEE_NOEXCEPT;
FUSEE_API int fusee_threads_width(const fusee_threads* threads) FUSEE_NOEXCEPT;
/* After every context that uses it is gone. NULL is allowed. */
FUSEE_API void fusee_threads_free(fusee_threads* threads) FUSEE_NOEXCEPT;

/* --- devices
 * -------------------------------------------------------------------------------------------------------
 */

typedef struct fusee_device fusee_device;

/* Opens a device: "cuda", "cuda:1". Loads libfusee_cuda.so (beside the program, in ../lib, or where
 * FUSEE_MODULE_PATH says) and makes the device's context. For "cpu" *out is NULL, which is what
 * loading takes. FUSEE_UNAVAILABLE: no module, driver or device; the message says which. */
FUSEE_API FUSEE_MUST_USE fusee_status* fusee_device_open(const char* name,
                                                         fusee_device** out) FUSEE_NOEXCEPT;
/* After every plan on it is gone. NULL is allowed. */
FUSEE_API void fusee_device_free(fusee_device* device) FUSEE_NOEXCEPT;

typedef struct fusee_device_info {
  size_t struct_size;
  const char* kind; /* "cuda"; lives as long as the device, as name does */
  const char* name; /* "NVIDIA H200" */
  int32_t ordinal, compute_capability, multiprocessors;
  int32_t driver_version; /* 13000 for CUDA 13.0 */
  uint64_t memory_bytes, memory_free_bytes;
  uint64_t cublaslt_version, cudnn_version; /* 0: cannot be loaded */
} fusee_device_info;
FUSEE_API FUSEE_MUST_USE fusee_status* fusee_device_get_info(
    const fusee_device* device, fusee_device_info* info) FUSEE_NOEXCEPT;

/* Counts from now on, to the end of the process, what anything in it asks the device's driver for:
 * a run of a plan should ask for none of these. It makes driver calls slower: for benchmarks and
 * tests. FUSEE_UNAVAILABLE where the driver cannot be watched; the message says why. */
FUSEE_API FUSEE_MUST_USE fusee_status* fusee_device_watch_driver(fusee_device* device)
    FUSEE_NOEXCEPT;
typedef struct fusee_driver_calls {
  size_t struct_size;
  uint64_t allocations, frees; /* of device memory and of page-locked host memory */
  uint64_t code_loads;         /* of modules and libraries */
} fusee_driver_calls;
/* Since fusee_device_watch_driver; all 0 before. */
FUSEE_API FUSEE_MUST_USE fusee_status* fusee_device_get_driver_calls(
    const fusee_device* device, fusee_driver_calls* calls) FUSEE_NOEXCEPT;

/* --- plans
 * ---------------------------------------------------------------------------------------------------------
 */

typedef struct fusee_plan fusee_plan;

typedef struct fusee_load_options {
  size_t struct_size;
  int skip_golden;       /* 1: do not replay the golden inputs before answering */
  int refuse_unverified; /* 1: refuse plans built with --no-verify */
  int map_weights; /* 1: weights stay in the mapped file, shared between processes; a file cut short
                      while in use then raises SIGBUS. 0: a private copy in huge pages */
  fusee_threads*
      threads; /* borrowed for the call, may be NULL: helps with digests and the golden replay */
  fusee_device* device; /* what a plan for another device than the CPU runs on; borrowed until the
                           plan and all its contexts are gone. NULL: the CPU */
} fusee_load_options;

/* Loads and checks a plan completely: digests, structure, memory, kernels, golden outputs. options
 * may be NULL. Any bytes are safe to load. Cost: one read of the file and one run per golden point.
 */
FUSEE_API FUSEE_MUST_USE fusee_status* fusee_plan_load(const char* path,
                                                       const fusee_load_options* options,
                                                       fusee_plan** out) FUSEE_NOEXCEPT;
/* The same from memory, which is copied and may be freed afterwards. */
FUSEE_API FUSEE_MUST_USE fusee_status* fusee_plan_load_bytes(const void* bytes, size_t size,
                                                             const fusee_load_options* options,
                                                             fusee_plan** out) FUSEE_NOEXCEPT;
/* Contexts keep their plan alive, so a plan may be freed while contexts run. NULL is allowed. */
FUSEE_API void fusee_plan_free(fusee_plan* plan) FUSEE_NOEXCEPT;

typedef struct fusee_plan_info {
  size_t struct_size;
  size_t input_count, output_count, symbol_count, bucket_count, step_count;
  const char* model_name; /* these live as long as the plan */
  const char* builder_version;
  const char* isa; /* "avx2", ... */
  int verified;
  const char* unverified_reason;
  int64_t load_ns; /* how long loading took, golden replay included */
  uint64_t file_bytes;
  uint64_t weights_bytes;
  uint64_t activation_bytes, io_bytes, state_bytes, workspace_bytes;
  uint64_t context_bytes; /* what one context takes: the sum of the line above */
  const char* device;     /* "cpu", "cuda"; lives as long as the plan */
  size_t host_step_count; /* of a plan for another device: steps that run on the CPU */
  int64_t batch_symbol;   /* index of the symbol that leads every input and output; -1: none does */
  int batch_checked;      /* 1: verified that no row of a batch sees another */
} fusee_plan_info;
FUSEE_API FUSEE_MUST_USE fusee_status* fusee_plan_get_info(const fusee_plan* plan,
                                                           fusee_plan_info* info) FUSEE_NOEXCEPT;

/* An input or output. Texts live as long as the plan. Of a size that a run finds, the shapes say
 * the least and the most. */
typedef struct fusee_io_info {
  size_t struct_size;
  const char* name;
  const char* shape_text; /* "[batch,1,8,8]" */
  fusee_dtype dtype;
  int32_t rank;
  int64_t min_shape[FUSEE_MAX_RANK], opt_shape[FUSEE_MAX_RANK], max_shape[FUSEE_MAX_RANK];
  int pinned; /* 1: an input that must keep the value the plan was built for; leave it alone */
  int channels_last; /* 1: built with the channels on the last axis, where the model has them on
                        axis 1; the shapes above are the plan's */
} fusee_io_info;
FUSEE_API FUSEE_MUST_USE fusee_status* fusee_plan_get_input(const fusee_plan* plan, size_t index,
                                                            fusee_io_info* info) FUSEE_NOEXCEPT;
FUSEE_API FUSEE_MUST_USE fusee_status* fusee_plan_get_output(const fusee_plan* plan, size_t index,
                                                             fusee_io_info* info) FUSEE_NOEXCEPT;
/* FUSEE_NOT_FOUND when there is no such name. */
FUSEE_API FUSEE_MUST_USE fusee_status* fusee_plan_find_input(const fusee_plan* plan,
                                                             const char* name,
                                                             size_t* index) FUSEE_NOEXCEPT;
FUSEE_API FUSEE_MUST_USE fusee_status* fusee_plan_find_output(const fusee_plan* plan,
                                                              const char* name,
                                                              size_t* index) FUSEE_NOEXCEPT;

/* A dynamic dimension and its profile. */
typedef struct fusee_symbol_info {
  size_t struct_size;
  const char* name; /* lives as long as the plan */
  int64_t min, opt, max;
} fusee_symbol_info;
FUSEE_API FUSEE_MUST_USE fusee_status* fusee_plan_get_symbol(
    const fusee_plan* plan, size_t index, fusee_symbol_info* info) FUSEE_NOEXCEPT;

/* A tuned point of the profile, with the latencies measured there by the builder (timed_runs 0:
 * none). */
typedef struct fusee_bucket_info {
  size_t struct_size;
  const int64_t* symbol_values; /* symbol_count of them; live as long as the plan */
  uint64_t arena_bytes;
  uint64_t timed_runs;
  double min_us, p50_us, p99_us, p999_us, max_us;
} fusee_bucket_info;
FUSEE_API FUSEE_MUST_USE fusee_status* fusee_plan_get_bucket(
    const fusee_plan* plan, size_t index, fusee_bucket_info* info) FUSEE_NOEXCEPT;

/* A step of the plan. Texts live as long as the plan. */
typedef struct fusee_step_info {
  size_t struct_size;
  const char* op;
  const char* kernel;
  const char* sources; /* ONNX nodes it stands for, joined by " + " */
} fusee_step_info;
FUSEE_API FUSEE_MUST_USE fusee_status* fusee_plan_get_step(const fusee_plan* plan, size_t index,
                                                           fusee_step_info* info) FUSEE_NOEXCEPT;

typedef enum fusee_text_kind {
  FUSEE_HEADER_TEXT = 0,
  FUSEE_HEADER_JSON = 1,
  FUSEE_PLAN_TEXT = 2,
  FUSEE_PLAN_JSON = 3
} fusee_text_kind;
/* A description for people or programs; free it with fusee_text_free. */
FUSEE_API FUSEE_MUST_USE fusee_status* fusee_plan_describe(const fusee_plan* plan,
                                                           fusee_text_kind kind,
                                                           char** out) FUSEE_NOEXCEPT;

typedef enum fusee_verdict {
  FUSEE_VERDICT_OK = 0,
  FUSEE_VERDICT_OK_BUT_RETUNE = 1,
  FUSEE_VERDICT_INCOMPATIBLE = 2
} fusee_verdict;
/* Will the plan at path run on this machine? Reads its first 4 KiB only. report (may be NULL) gets
 * the findings as JSON; free it with fusee_text_free. A plan for a GPU is incompatible here;
 * fusee_plan_check_on judges it by a device that was opened (NULL: as fusee_plan_check). */
FUSEE_API FUSEE_MUST_USE fusee_status* fusee_plan_check(const char* path, fusee_verdict* verdict,
                                                        char** report) FUSEE_NOEXCEPT;
FUSEE_API FUSEE_MUST_USE fusee_status* fusee_plan_check_on(const char* path,
                                                           const fusee_device* device,
                                                           fusee_verdict* verdict,
                                                           char** report) FUSEE_NOEXCEPT;

/* --- contexts
 * ------------------------------------------------------------------------------------------------------
 */

typedef struct fusee_context fusee_context;

typedef struct fusee_context_options {
  size_t struct_size;
  fusee_threads* threads; /* borrowed until the context is freed; NULL: the calling thread alone */
  int small_pages;        /* 1: do not ask for huge pages */
  int no_graphs;    /* of plans on a device; 1: launch step by step, capture no graph a bucket */
  int no_transfers; /* of plans on a device; 1: a run moves neither inputs nor outputs */
  int marks;        /* of plans on a device; 1: name runs and steps for a profiler (NVTX) */
} fusee_context_options;

/* Takes all memory that runs will need. Inputs start at the profile's optimum, zeroed. options may
 * be NULL. */
FUSEE_API FUSEE_MUST_USE fusee_status* fusee_context_create(const fusee_plan* plan,
                                                            const fusee_context_options* options,
                                                            fusee_context** out) FUSEE_NOEXCEPT;
FUSEE_API void fusee_context_free(fusee_context* context) FUSEE_NOEXCEPT; /* NULL is allowed */

/* For the following runs. FUSEE_OUT_OF_RANGE names the dimension and its range; the shape then
 * stays as it was. */
FUSEE_API FUSEE_MUST_USE fusee_status* fusee_context_set_input_shape(fusee_context* context,
                                                                     size_t input,
                                                                     const int64_t* shape,
                                                                     int rank) FUSEE_NOEXCEPT;
/* Reads the input from data (bytes of it may be read) at each run, until bound again; NULL: from
 * the context's own memory. Without a copy when data is 64-byte aligned. Must not overlap a bound
 * output. */
FUSEE_API FUSEE_MUST_USE fusee_status* fusee_context_bind_input(fusee_context* context,
                                                                size_t input, const void* data,
                                                                size_t bytes) FUSEE_NOEXCEPT;
/* Writes the output to data (capacity bytes of it may be written) at each run; NULL: to the
 * context's own memory. */
FUSEE_API FUSEE_MUST_USE fusee_status* fusee_context_bind_output(fusee_context* context,
                                                                 size_t output, void* data,
                                                                 size_t capacity) FUSEE_NOEXCEPT;
/* The context's own memory for an input at its current shape, to be written; valid until the shape
 * changes. */
FUSEE_API FUSEE_MUST_USE fusee_status* fusee_context_input(fusee_context* context, size_t input,
                                                           fusee_tensor* tensor) FUSEE_NOEXCEPT;
/* An output as of the last prepare or run; valid until the next run, bind or shape. Where a run
 * finds the size, a shape is the most there may be until that run, and a bound buffer has to have
 * room for it. */
FUSEE_API FUSEE_MUST_USE fusee_status* fusee_context_output(const fusee_context* context,
                                                            size_t output,
                                                            fusee_tensor* tensor) FUSEE_NOEXCEPT;

typedef enum fusee_fill {
  FUSEE_FILL_UNIFORM = 0, /* floats in [-1, 1), integers in [0, int_max] */
  FUSEE_FILL_LARGE = 1,   /* floats up to 1e4 */
  FUSEE_FILL_TINY = 2,    /* floats down to denormals */
  FUSEE_FILL_SIGNED_ZEROS = 3,
  FUSEE_FILL_CONSTANT = 4
} fusee_fill;
/* Sets every input's shape for these symbol values (symbol_count of them, in the plan's order) and
 * fills the context's own input memory from a seed, the same everywhere; bound inputs become
 * unbound. For benchmarks and self-tests. */
FUSEE_API FUSEE_MUST_USE fusee_status* fusee_context_fill_inputs(fusee_context* context,
                                                                 const int64_t* symbol_values,
                                                                 size_t symbol_count,
                                                                 fusee_fill fill, uint64_t seed,
                                                                 int64_t int_max) FUSEE_NOEXCEPT;

/* Makes everything ready for the current shapes: output shapes are known afterwards. Run does it
 * when needed. */
FUSEE_API FUSEE_MUST_USE fusee_status* fusee_context_prepare(fusee_context* context) FUSEE_NOEXCEPT;
/* Runs the plan; blocks until the outputs are complete. On error outputs are unspecified, the
 * context stays usable. */
FUSEE_API FUSEE_MUST_USE fusee_status* fusee_context_run(fusee_context* context) FUSEE_NOEXCEPT;
/* A run on a device, timed by the device itself: microseconds from the first to the last of its
 * work. FUSEE_FAILED_PRECONDITION for a plan on the CPU. */
FUSEE_API FUSEE_MUST_USE fusee_status* fusee_context_run_device_timed(fusee_context* context,
                                                                      double* us) FUSEE_NOEXCEPT;
/* For a context on a device with no_transfers: brings the inputs there, for all runs until they are
 * moved again; fetches the outputs of the last run. Both wait. Otherwise nothing is done. */
FUSEE_API FUSEE_MUST_USE fusee_status* fusee_context_move_inputs(fusee_context* context)
    FUSEE_NOEXCEPT;
FUSEE_API FUSEE_MUST_USE fusee_status* fusee_context_move_outputs(fusee_context* context)
    FUSEE_NOEXCEPT;
/* Index of the smallest bucket that covers the last prepared shapes, or -1. */
FUSEE_API int64_t fusee_context_bucket(const fusee_context* context) FUSEE_NOEXCEPT;

/* What a step just did; valid during the call. */
typedef struct fusee_step_event {
  size_t struct_size;
  size_t step;
  int64_t ns; /* the step's own time */
  size_t output_count;
  const fusee_tensor* outputs; /* unwanted results have data NULL */
} fusee_step_event;
/* Calls callback after every step of every run, on the running thread; NULL: off. It must not
 * throw, and must not call functions of this context. */
typedef void (*fusee_step_callback)(void* user, const fusee_step_event* event);
FUSEE_API void fusee_context_set_step_callback(fusee_context* context, fusee_step_callback callback,
                                               void* user) FUSEE_NOEXCEPT;

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* FUSEE_FUSEE_H_ */
