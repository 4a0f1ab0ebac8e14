#include "onnx/external_data.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/wire.h"
#include "onnx/model.h"

namespace fusee::onnx {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

class ExternalDataTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "external_data_test.XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
    folder_ = root_ / "model";
    fs::create_directories(folder_ / "sub");
    Write(root_ / "secret.bin", "outside!");
    Write(folder_ / "data.bin", "12345678abcdefgh");
    Write(folder_ / "sub" / "data.bin", "87654321");
    fs::create_symlink("data.bin", folder_ / "link.bin");
    fs::create_symlink("../secret.bin", folder_ / "out.bin");
    fs::create_symlink("sub", folder_ / "linked_sub");
    fs::create_directory_symlink(root_, folder_ / "up");
    Write(folder_ / "hard.bin", "hardlink");
    fs::create_hard_link(folder_ / "hard.bin", folder_ / "hard2.bin");
    ASSERT_EQ(::mkfifo((folder_ / "fifo").c_str(), 0600), 0);
  }
  void TearDown() override { fs::remove_all(root_); }

  static void Write(const fs::path& path, std::string_view bytes) {
    std::ofstream(path, std::ios::binary) << bytes;
  }

  // The tensor of `count` elements, of f32 if nothing else is said, that the entries describe.
  Result<Tensor> Resolve(std::vector<std::pair<std::string_view, std::string_view>> entries,
                         int64_t count = 2, DType dtype = DType::kF32) {
    TensorProto proto;
    proto.onnx_type = static_cast<int32_t>(dtype);
    proto.dims = {count};
    proto.external = true;
    proto.external_data = std::move(entries);
    FUSEE_TRY(const TensorSpec spec, SpecOf(proto));
    return data().Resolve(proto, spec);
  }
  ExternalData& data() {
    if (!data_) data_ = std::make_unique<ExternalData>(folder_.string(), 8);
    return *data_;
  }
  static std::string Text(const Tensor& t) {
    return {reinterpret_cast<const char*>(t.bytes().data()), t.bytes().size()};
  }

  fs::path root_, folder_;
  std::unique_ptr<ExternalData> data_;
};

TEST_F(ExternalDataTest, MapsRanges) {
  const auto whole = Resolve({{"location", "data.bin"}}, 4);
  ASSERT_TRUE(whole.ok()) << whole.status().message();
  EXPECT_EQ(Text(*whole), "12345678abcdefgh");
  const auto tail =
      Resolve({{"location", "data.bin"}, {"offset", "8"}, {"length", "8"}, {"checksum", "x"}});
  ASSERT_TRUE(tail.ok()) << tail.status().message();
  EXPECT_EQ(Text(*tail), "abcdefgh");
  // One mapping for both.
  EXPECT_EQ(static_cast<const char*>(tail->view().data),
            static_cast<const char*>(whole->view().data) + 8);
  const auto nested = Resolve({{"location", "./sub//data.bin"}});
  ASSERT_TRUE(nested.ok()) << nested.status().message();
  EXPECT_EQ(Text(*nested), "87654321");
}

TEST_F(ExternalDataTest, UnpacksNibbles) {
  const auto odd = Resolve({{"location", "data.bin"}, {"offset", "8"}, {"length", "2"}}, 3,
                           DType::kU4);  // 61 62
  ASSERT_TRUE(odd.ok()) << odd.status().message();
  EXPECT_EQ(IntAt(odd->view(), 0), 1);
  EXPECT_EQ(IntAt(odd->view(), 1), 6);
  EXPECT_EQ(IntAt(odd->view(), 2), 2);
  EXPECT_THAT(
      Resolve({{"location", "data.bin"}, {"length", "2"}}, 5, DType::kU4).status().message(),
      HasSubstr("has 2 bytes, expected 3 for u4[5]"));
}

// Many tensors may point at the same bytes, but what they unpack to is memory each time.
TEST_F(ExternalDataTest, LimitsWhatIsUnpacked) {
  Status last;
  int resolved = 0;
  while (last.ok() && resolved < 100) {
    last = Resolve({{"location", "data.bin"}, {"length", "16"}}, 32, DType::kI4).status();
    if (last.ok()) ++resolved;
  }
  EXPECT_EQ(last.code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(last.message(), HasSubstr("store each once"));
  EXPECT_GE(resolved, 1);
  EXPECT_LE(resolved, 3);
}

TEST_F(ExternalDataTest, RefusesBadRanges) {
  const struct {
    const char* offset;
    const char* length;
    const char* says;
  } cases[] = {
      {"17", "0", "offset 17 lies behind the file's 16 bytes"},
      {"12", "8", "8 bytes at offset 12 reach behind the file's 16 bytes"},
      {"18446744073709551615", "8", "lies behind"},
      {"8", "18446744073709551615", "reach behind"},
      {"0", "12", "has 12 bytes, expected 8"},
      {"-8", "8", "'offset' is '-8', expected a decimal number"},
      {"0x8", "8", "expected a decimal number"},
      {"99999999999999999999", "8", "expected a decimal number"},
      {"", "8", "expected a decimal number"},
      {"0", " 8", "'length' is ' 8'"},
  };
  for (const auto& c : cases) {
    const auto tensor =
        Resolve({{"location", "data.bin"}, {"offset", c.offset}, {"length", c.length}});
    EXPECT_EQ(tensor.status().code(), StatusCode::kInvalidArgument) << c.says;
    EXPECT_THAT(tensor.status().message(), HasSubstr(c.says));
  }
}

TEST_F(ExternalDataTest, RefusesEveryWayOut) {
  const std::string absolute = (root_ / "secret.bin").string();
  const std::string with_nul("data.bin\0x", 10);
  const std::string_view denied[] = {
      "../secret.bin", "sub/../../secret.bin", "sub/../data.bin", absolute,   with_nul, "link.bin",
      "out.bin",       "linked_sub/data.bin",  "up/secret.bin",   "hard.bin", "..",     "."};
  for (const auto location : denied) {
    data_.reset();
    EXPECT_EQ(Resolve({{"location", location}}).status().code(), StatusCode::kPermissionDenied)
        << location;
  }
  data_.reset();
  EXPECT_THAT(Resolve({{"location", "fifo"}}).status().message(), HasSubstr("not a regular file"));
  EXPECT_THAT(Resolve({{"location", "sub"}}).status().message(), HasSubstr("not a regular file"));
  EXPECT_EQ(Resolve({{"location", "none.bin"}}).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(Resolve({{"location", "data.bin/x"}}).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(Resolve({}).status().code(), StatusCode::kInvalidArgument);
  const std::string endless(100000, 'a');
  EXPECT_EQ(Resolve({{"location", endless}}).status().code(), StatusCode::kPermissionDenied);
}

// Both ways to open must judge alike, because only one of them runs on a given kernel.
TEST_F(ExternalDataTest, WalkingJudgesAsTheKernelDoes) {
  const int folder = ::open(folder_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  ASSERT_GE(folder, 0);
  for (const std::string location :
       {"data.bin", "sub/data.bin", "./sub//data.bin", "link.bin", "out.bin", "linked_sub/data.bin",
        "up/secret.bin", "up/model/data.bin", "none", "data.bin/x", "../secret.bin",
        "sub/../data.bin", "", "/", "."}) {
    const auto kernel = internal::OpenBeneath(folder, location);
    const auto walked = internal::OpenBeneathByWalking(folder, location);
    EXPECT_EQ(kernel.status().code(), walked.status().code())
        << location << ": " << kernel.status().message() << " / " << walked.status().message();
    for (const auto* fd : {&kernel, &walked}) {
      if (fd->ok()) ::close(**fd);
    }
  }
  ::close(folder);
}

TEST_F(ExternalDataTest, LimitsTheNumberOfFiles) {
  for (int i = 0; i < 8; ++i) {
    const std::string name = "missing" + std::to_string(i);
    EXPECT_EQ(Resolve({{"location", name}}).status().code(), StatusCode::kNotFound);
  }
  EXPECT_EQ(Resolve({{"location", "data.bin"}}).status().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(Resolve({{"location", "missing0"}}).status().code(),
            StatusCode::kNotFound);  // known already
}

TEST_F(ExternalDataTest, LoadResolvesBesideTheModel) {
  const auto entry = [](std::string_view key, std::string_view value) {
    wire::Writer out;
    out.Bytes(1, key);
    out.Bytes(2, value);
    return out.str();
  };
  const auto initializer = [&](std::string_view location) {
    wire::Writer out;
    out.Varint(1, 2);
    out.Varint(2, 1);
    out.Bytes(8, location);
    out.Bytes(13, entry("location", location));
    out.Bytes(13, entry("offset", "8"));
    out.Varint(14, 1);
    return out.str();
  };
  wire::Writer graph;
  graph.Bytes(5, initializer("data.bin"));
  graph.Bytes(5, initializer("gone.bin"));
  wire::Writer model;
  model.Varint(1, 8);
  model.Bytes(7, graph.str());
  Write(folder_ / "model.onnx", model.str());

  Tensor kept;
  {
    const auto loaded = Load((folder_ / "model.onnx").string());
    ASSERT_TRUE(loaded.ok()) << loaded.status().message();
    const auto& tensors = (*loaded)->graph.initializers;
    ASSERT_TRUE(tensors[0].tensor.present()) << tensors[0].problem.message();
    EXPECT_EQ(tensors[1].problem.code(), StatusCode::kNotFound);
    EXPECT_THAT(tensors[1].problem.message(),
                HasSubstr("graph.initializer[1] 'gone.bin': external data 'gone.bin'"));
    kept = tensors[0].tensor;
  }
  fs::remove(folder_ / "data.bin");
  EXPECT_EQ(Text(kept), "abcdefgh");  // the tensor shares the mapping
}

}  // namespace
}  // namespace fusee::onnx
