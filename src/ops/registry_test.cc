// The tables of operators and kernels agree with each other and with the rules that the rest of
// Fusee relies on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "ops/kernel.h"
#include "ops/op_def.h"

namespace fusee::ops {
namespace {

TEST(Registry, EveryKernelImplementsAnOperatorThatCanBeInferred) {
  for (const KernelDef* kernel : AllKernels()) {
    const OpDef* op = FindOp(kernel->op);
    ASSERT_NE(op, nullptr) << kernel->id << " implements the unknown operator " << kernel->op;
    EXPECT_NE(op->infer, nullptr) << kernel->id;
    EXPECT_TRUE(kernel->bind) << kernel->id;
  }
}

TEST(Registry, EveryOperatorWithInferenceHasAReferenceKernelAtTheEnd) {
  for (const OpDef& op : AllOps()) {
    if (op.infer == nullptr) {
      EXPECT_FALSE(op.imports.empty()) << op.name << " has neither inference nor import rules";
      continue;
    }
    if (op.name == "If") continue;  // written out before kernels are chosen (compiler/lower_if.h)
    const auto kernels = KernelsFor(op.name);
    ASSERT_FALSE(kernels.empty()) << op.name << " has no kernel";
    EXPECT_TRUE(kernels.back()->reference) << op.name << ": the last tactic must be the reference";
    for (const KernelDef* kernel : kernels.first(kernels.size() - 1)) {
      EXPECT_FALSE(kernel->reference) << kernel->id << " is a reference before the last";
    }
  }
}

// A kernel without code for a type must not be asked; one of an operator that takes it must.
TEST(Registry, NarrowTypesReachTheKernelsOfOperatorsThatTakeThem) {
  const Attrs attrs;
  const TensorSpec narrow{DType::kI4, Shape{2}, true, nullptr};
  for (const KernelDef* kernel : AllKernels()) {
    const bool op_takes = FindOp(kernel->op)->narrow;
    StepSpec step{
        .op = kernel->op, .attrs = &attrs, .inputs = {&narrow, 1}, .outputs = {&narrow, 1}};
    const Status status = kernel->bind(step).status();
    const bool refused = status.message().find("takes no i4") != std::string::npos;
    if (!op_takes) {
      EXPECT_TRUE(refused) << kernel->id << ": " << status.message();
    } else if (kernel->reference) {
      EXPECT_FALSE(refused) << kernel->id;
    }
  }
}

TEST(Registry, KernelIdsEndInAVersion) {
  for (const KernelDef* kernel : AllKernels()) {
    EXPECT_THAT(std::string(kernel->id), testing::MatchesRegex("[a-z0-9_]+\\.[0-9]+"));
    EXPECT_EQ(FindKernel(kernel->id), kernel);
  }
}

TEST(Registry, FindsTheNewestRuleThatTheOpsetAdmits) {
  for (const OpDef& op : AllOps()) {
    for (const ImportRule& rule : op.imports) {
      EXPECT_LE(rule.since, rule.until) << rule.onnx_op;
      EXPECT_NE(rule.import, nullptr) << rule.onnx_op;
      const ImportRule* found = FindImportRule(rule.domain, rule.onnx_op, rule.since);
      ASSERT_NE(found, nullptr) << rule.onnx_op;
      EXPECT_EQ(found->since, rule.since) << rule.onnx_op;
      EXPECT_TRUE(HasImportRule(rule.domain, rule.onnx_op));
    }
  }
}

TEST(Registry, UnknownNamesAreNull) {
  EXPECT_EQ(FindOp("NoSuchOp"), nullptr);
  EXPECT_EQ(FindKernel("no_such_kernel.1"), nullptr);
  EXPECT_TRUE(KernelsFor("NoSuchOp").empty());
  EXPECT_EQ(FindImportRule("", "NoSuchOp", 21), nullptr);
  EXPECT_FALSE(HasImportRule("com.example", "Add"));
}

}  // namespace
}  // namespace fusee::ops
