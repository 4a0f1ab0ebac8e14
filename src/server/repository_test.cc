// What a repository's folders hold that is no model, and how it is told.
#include "server/repository.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "base/test_folder.h"

namespace fusee::server {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

class RepositoryFiles : public testing::Test {
 protected:
  RepositoryFiles() { Write("good/1/model.plan"); }
  void Write(const std::string& path) {
    std::filesystem::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << "x";
  }
  RepositoryScan Scan() {
    auto scan = ScanRepository(root_.string());
    EXPECT_TRUE(scan.ok()) << scan.status().message();
    return std::move(scan).value();
  }
  TestFolder folder_;
  const std::filesystem::path& root_ = folder_.path();
};

TEST_F(RepositoryFiles, NothingIsSaidOfWhatBelongsThere) {
  Write("good/1/notes.txt");
  Write(".git/config");
  Write("good/.hidden");
  EXPECT_THAT(Scan().warnings, IsEmpty());
}

TEST_F(RepositoryFiles, AFileBesideTheModelsIsNamed) {
  Write("digits.plan");
  EXPECT_THAT(Scan().warnings,
              ElementsAre(AllOf(HasSubstr("/digits.plan: ignored; a plan is served from "),
                                HasSubstr("/<model>/1/model.plan"))));
}

TEST_F(RepositoryFiles, AFileBesideTheVersionsIsNamed) {
  Write("good/model.plan");
  EXPECT_THAT(Scan().warnings,
              ElementsAre(AllOf(HasSubstr("good/model.plan: ignored; plans lie in version folders"),
                                HasSubstr("good/1/model.plan"))));
}

TEST_F(RepositoryFiles, AFolderThatIsNoVersionIsNamed) {
  Write("good/v2/model.plan");
  EXPECT_THAT(Scan().warnings, ElementsAre(HasSubstr("good/v2: ignored; a version folder's name")));
}

TEST_F(RepositoryFiles, WarningsAreInOrderAndBounded) {
  for (int i = 0; i < 200; ++i) Write("stray" + std::to_string(1000 + i));
  const auto warnings = Scan().warnings;
  ASSERT_THAT(warnings, SizeIs(kWarningsMax + 1));
  EXPECT_TRUE(std::is_sorted(warnings.begin(), warnings.end() - 1));
  EXPECT_EQ(warnings.back(), "... and 150 more files or folders that are ignored");
}

TEST_F(RepositoryFiles, AVersionWithoutAPlanNamesWhatItHas) {
  Write("other/1/model.onnx");
  const RepositoryScan scan = Scan();
  ASSERT_EQ(scan.models.size(), 2u);
  EXPECT_THAT(
      scan.models[1].fault.message(),
      AllOf(HasSubstr("no file '"), HasSubstr(", though its folder has 'model.onnx'; write")));
}

// Whoever reports a fault puts the model's name before it.
TEST_F(RepositoryFiles, AFaultDoesNotRepeatTheModel) {
  std::filesystem::create_directories(root_ / "empty");
  std::filesystem::create_directories(root_ / "hollow" / "1");
  for (const ModelFolder& model : Scan().models)
    EXPECT_THAT(model.fault.message(), Not(HasSubstr("model '"))) << model.name;
}

TEST(ModelTypes, ThoseWithoutANameInTheProtocolAreRefused) {
  ipc::ModelInfo info;
  info.inputs = {{.name = "x", .dtype = DType::kBF16, .shape = {1}}};
  info.outputs = {{.name = "y", .dtype = DType::kU8, .shape = {1}}};
  EXPECT_TRUE(CheckTypesHaveNames(info).ok());
  for (const DType narrow : {DType::kF8E4M3FN, DType::kI4, DType::kU2}) {
    info.outputs[0].dtype = narrow;
    const Status output = CheckTypesHaveNames(info);
    EXPECT_EQ(output.code(), StatusCode::kUnimplemented);
    EXPECT_THAT(output.message(), AllOf(HasSubstr("output 'y'"), HasSubstr(DTypeName(narrow)),
                                        HasSubstr("inside the model")));
    std::swap(info.inputs[0].dtype, info.outputs[0].dtype);
    EXPECT_THAT(CheckTypesHaveNames(info).message(), HasSubstr("input 'x'"));
    std::swap(info.inputs[0].dtype, info.outputs[0].dtype);
  }
}

}  // namespace
}  // namespace fusee::server
