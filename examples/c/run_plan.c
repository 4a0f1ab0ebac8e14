/* Runs a plan once from C, with nothing but Fusee's C ABI.
 *
 *   cc run_plan.c -o run_plan $(pkg-config --cflags --libs fusee)
 *   ./run_plan digits.plan                 every input filled with seeded numbers
 *   ./run_plan digits.plan pixels.raw      first input from a file of its exact bytes, and so on
 *
 * Prints the plan's inputs, outputs and memory, then the first values of every output.
 */
#include <fusee/fusee.h>
#include <stdio.h>
#include <stdlib.h>

/* Ends the program with the message when status is an error. */
static void must(fusee_status* status) {
  if (status == NULL) return;
  fprintf(stderr, "run_plan: error %d: %s\n", (int)fusee_status_code(status),
          fusee_status_message(status));
  fusee_status_free(status);
  exit(1);
}

static void print_shape(const int64_t* shape, int rank) {
  putchar('[');
  for (int i = 0; i < rank; ++i) printf("%s%lld", i == 0 ? "" : ",", (long long)shape[i]);
  putchar(']');
}

static void describe(const fusee_plan* plan, const fusee_plan_info* info) {
  printf("%s: %zu steps for %s, %s, loaded in %.2f ms; %llu bytes of weights, %llu a context\n",
         info->model_name, info->step_count, info->isa,
         info->verified ? "verified" : "NOT verified", (double)info->load_ns / 1e6,
         (unsigned long long)info->weights_bytes, (unsigned long long)info->context_bytes);
  for (size_t i = 0; i < info->input_count; ++i) {
    fusee_io_info io = {.struct_size = sizeof io};
    must(fusee_plan_get_input(plan, i, &io));
    printf("  input  %s: %s%s\n", io.name, fusee_dtype_name(io.dtype), io.shape_text);
  }
  for (size_t i = 0; i < info->output_count; ++i) {
    fusee_io_info io = {.struct_size = sizeof io};
    must(fusee_plan_get_output(plan, i, &io));
    printf("  output %s: %s%s\n", io.name, fusee_dtype_name(io.dtype), io.shape_text);
  }
}

/* Reads the file into the context's own memory for the input; the file must have exactly its size.
 */
static void read_input(fusee_context* context, size_t index, const char* path) {
  fusee_tensor tensor = {.struct_size = sizeof tensor};
  must(fusee_context_input(context, index, &tensor));
  FILE* file = fopen(path, "rb");
  if (file == NULL || fread(tensor.data, 1, tensor.bytes, file) != tensor.bytes ||
      fgetc(file) != EOF) {
    fprintf(stderr, "run_plan: '%s' does not hold exactly %zu bytes for input %zu\n", path,
            tensor.bytes, index);
    exit(1);
  }
  fclose(file);
}

static void print_output(const fusee_plan* plan, const fusee_context* context, size_t index) {
  fusee_io_info io = {.struct_size = sizeof io};
  fusee_tensor tensor = {.struct_size = sizeof tensor};
  must(fusee_plan_get_output(plan, index, &io));
  must(fusee_context_output(context, index, &tensor));
  printf("%s %s", io.name, fusee_dtype_name(tensor.dtype));
  print_shape(tensor.shape, tensor.rank);
  const size_t count = tensor.bytes / fusee_dtype_bytes(tensor.dtype);
  for (size_t i = 0; i < count && i < 10; ++i) {
    if (tensor.dtype == FUSEE_F32) printf(" %g", (double)((const float*)tensor.data)[i]);
    if (tensor.dtype == FUSEE_I64) printf(" %lld", (long long)((const int64_t*)tensor.data)[i]);
  }
  printf("%s\n", count > 10 ? " ..." : "");
}

int main(int argc, char** argv) {
  if (argc < 2) {
    fprintf(stderr, "usage: run_plan PLAN [INPUT.raw ...]\n");
    return 2;
  }
  fusee_plan* plan = NULL;
  must(fusee_plan_load(argv[1], NULL, &plan));
  fusee_plan_info info = {.struct_size = sizeof info};
  must(fusee_plan_get_info(plan, &info));
  describe(plan, &info);

  fusee_threads* threads = NULL;
  must(fusee_threads_create(0, &threads));
  fusee_context_options options = {.struct_size = sizeof options, .threads = threads};
  fusee_context* context = NULL;
  must(fusee_context_create(plan, &options, &context));

  /* Every dynamic dimension at the value the plan was tuned for. */
  int64_t* values = calloc(info.symbol_count + 1, sizeof *values);
  for (size_t i = 0; i < info.symbol_count; ++i) {
    fusee_symbol_info symbol = {.struct_size = sizeof symbol};
    must(fusee_plan_get_symbol(plan, i, &symbol));
    values[i] = symbol.opt;
  }
  must(fusee_context_fill_inputs(context, values, info.symbol_count, FUSEE_FILL_UNIFORM, /*seed=*/1,
                                 /*int_max=*/1));
  for (int i = 2; i < argc; ++i) read_input(context, (size_t)(i - 2), argv[i]);

  must(fusee_context_run(context));
  for (size_t i = 0; i < info.output_count; ++i) print_output(plan, context, i);

  free(values);
  fusee_context_free(context);
  fusee_threads_free(threads);
  fusee_plan_free(plan);
  return 0;
}
