// Models beyond 2 GB, where protobuf's own readers end: a file with a hole in it costs no disk and,
// mapped, no memory.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <string>

#include "base/descriptor.h"
#include "base/test_folder.h"
#include "base/wire.h"
#include "onnx/model.h"

namespace fusee::onnx {
namespace {

constexpr uint64_t kWeightBytes = (uint64_t{3} << 30) + 5;
constexpr int64_t kMemoryMax = int64_t{64} << 20;

int64_t PeakBytes() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss * 1024;
}

// head, then size bytes of hole whose last one is 7, then tail.
bool WriteWithHole(const std::string& path, std::string_view head, uint64_t size,
                   std::string_view tail) {
  Descriptor fd(::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  const auto at = [&](std::string_view text, uint64_t offset) {
    return ::pwrite(fd.get(), text.data(), text.size(), static_cast<off_t>(offset)) ==
           static_cast<ssize_t>(text.size());
  };
  return fd.get() >= 0 && at(head, 0) && at("\x07", head.size() + size - 1) &&
         at(tail, head.size() + size);
}

TEST(LargeModel, MoreThanTwoGigabytesInOneFileIsRead) {
  const TestFolder folder;
  // From the inside out, each message with the head of the one in it.
  wire::Writer tensor;
  tensor.Varint(1, kWeightBytes);
  tensor.Varint(2, 2);  // uint8
  tensor.Bytes(8, "w");
  tensor.BytesHead(9, kWeightBytes);
  wire::Writer output, rest;
  output.Bytes(1, "w");
  rest.Bytes(12, output.str());
  wire::Writer graph;
  graph.BytesHead(5, tensor.str().size() + kWeightBytes);
  wire::Writer model;
  model.Varint(1, 8);
  model.BytesHead(7, graph.str().size() + tensor.str().size() + kWeightBytes + rest.str().size());
  wire::Writer opset, tail;
  opset.Varint(2, 17);
  tail.Bytes(8, opset.str());

  const std::string path = (folder.path() / "large.onnx").string();
  if (!WriteWithHole(path, model.str() + graph.str() + tensor.str(), kWeightBytes,
                     rest.str() + tail.str())) {
    GTEST_SKIP() << "the file system of the temporary folder takes no file of 3 GB";
  }
  const int64_t before = PeakBytes();
  auto read = Load(path);
  ASSERT_TRUE(read.ok()) << read.status().message();
  const TensorRef& w = (*read)->graph.initializers.at(0);
  ASSERT_TRUE(w.tensor.present()) << w.problem.message();
  EXPECT_EQ(static_cast<uint64_t>(w.tensor.elements()), kWeightBytes);
  EXPECT_EQ(w.tensor.bytes()[kWeightBytes - 1], std::byte{7});
  EXPECT_EQ((*read)->graph.outputs.size(), 1u);
  EXPECT_LT(PeakBytes() - before, kMemoryMax);
}

TEST(LargeModel, MoreThanFourGigabytesOfExternalDataAreMapped) {
  constexpr uint64_t kOffset = uint64_t{4} << 30;
  const TestFolder folder;
  if (!WriteWithHole((folder.path() / "weights").string(), "", kOffset + 2, "")) {
    GTEST_SKIP() << "the file system of the temporary folder takes no file of 4 GB";
  }
  wire::Writer tensor;
  tensor.Varint(1, 2);
  tensor.Varint(2, 2);
  tensor.Bytes(8, "w");
  const auto entry = [&](std::string_view key, std::string_view value) {
    wire::Writer out;
    out.Bytes(1, key);
    out.Bytes(2, value);
    tensor.Bytes(13, out.str());
  };
  entry("location", "weights");
  entry("offset", std::to_string(kOffset));
  entry("length", "2");
  tensor.Varint(14, 1);
  wire::Writer graph, model;
  graph.Bytes(5, tensor.str());
  model.Varint(1, 8);
  model.Bytes(7, graph.str());
  const std::string path = (folder.path() / "model.onnx").string();
  ASSERT_TRUE(WriteFileAtomically(path, std::string_view(model.str())).ok());
  auto read = Load(path);
  ASSERT_TRUE(read.ok()) << read.status().message();
  const TensorRef& w = (*read)->graph.initializers.at(0);
  ASSERT_TRUE(w.tensor.present()) << w.problem.message();
  EXPECT_EQ(w.tensor.bytes()[1], std::byte{7});
}

}  // namespace
}  // namespace fusee::onnx
