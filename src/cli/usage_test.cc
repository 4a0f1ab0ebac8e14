// Wrong command lines are told apart, and the word that is wrong is named.
#include "cli/usage.h"

#include <gmock/gmock.h>

namespace fusee::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

const std::vector<std::string> kOptions = {"--http-port", "--http-address", "--model-repository",
                                           "--minShapes", "--no-verify"};

TEST(Nearest, FindsTypingErrors) {
  for (const char* typed :
       {"--http-prot", "--htp-port", "--http-portt", "-http-port", "--http_port"})
    EXPECT_EQ(Nearest(typed, kOptions), "--http-port") << typed;
  EXPECT_EQ(Nearest("--minshapes", kOptions), "--minShapes") << "case does not count";
}

TEST(Nearest, FindsTheOneChoiceThatBeginsOrEndsSo) {
  EXPECT_EQ(Nearest("--model", kOptions), "--model-repository");
  EXPECT_EQ(Nearest("--address", kOptions), "--http-address");
  EXPECT_EQ(Nearest("--htt", kOptions), "") << "two begin so";
}

TEST(Nearest, SuggestsNothingFarAway) {
  for (const char* typed : {"--verbose", "--x", "-", "", "--"})
    EXPECT_EQ(Nearest(typed, kOptions), "");
  EXPECT_EQ(Nearest(std::string(100'000, 'a'), kOptions), "");
  EXPECT_EQ(Nearest("--http-port", {}), "");
}

TEST(Nearest, TiesFallToTheEarlierChoice) { EXPECT_EQ(Nearest("cat", {"car", "bat"}), "car"); }

// A program with one command, and what it says of a command line.
class Usage : public testing::Test {
 protected:
  Usage() {
    app_.require_subcommand(1);
    CLI::App* make = app_.add_subcommand("make", "make something");
    make->add_option("thing,--thing-file", text_, "what to make")->required();
    CLI::Option* size = make->add_option("--size", size_, "how large")->check(CLI::Range(1, 9));
    make->add_option("--weight", weight_, "how heavy")->check(CLI::PositiveNumber);
    make->add_option("--count", count_, "how many");
    make->add_option("--shiny", shiny_, "whether it shines");
    make->add_flag("--any-size", flag_, "any size will do")->excludes(size);
    app_.add_subcommand("break", "break it");
  }
  std::string Says(const std::string& line) {
    try {
      app_.parse(line);
    } catch (const CLI::ParseError& error) {
      const Status status = UsageError(error, app_);
      EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
      return status.message();
    }
    return "fine";
  }

  CLI::App app_{"a program", "fusee"};
  std::string text_;
  int size_ = 1;
  int count_ = 1;
  double weight_ = 1;
  bool shiny_ = false, flag_ = false;
};

TEST_F(Usage, ALineThatParsesIsFine) { EXPECT_EQ(Says("make hat --size 3"), "fine"); }

TEST_F(Usage, NamesTheUnknownOptionAndTheNearest) {
  EXPECT_EQ(Says("make hat --sise 3"),
            "fusee make: there is no option '--sise'; did you mean --size? See: fusee make --help");
  EXPECT_EQ(Says("make hat --sise=3"),
            "fusee make: there is no option '--sise'; did you mean --size? See: fusee make --help");
}

TEST_F(Usage, NamesTheUnknownOptionWhenNoneIsNear) {
  EXPECT_EQ(Says("make hat --verbose"),
            "fusee make: there is no option '--verbose'; see: fusee make --help");
}

TEST_F(Usage, AnUnknownOptionComesBeforeAMissingOne) {
  EXPECT_THAT(Says("make --thing-fil hat"), HasSubstr("there is no option '--thing-fil'"));
}

TEST_F(Usage, NamesAnArgumentTooMany) {
  EXPECT_EQ(Says("make hat coat"),
            "fusee make: unexpected argument 'coat'; see: fusee make --help");
}

TEST_F(Usage, NamesWhatIsMissingAsItIsGiven) {
  EXPECT_EQ(Says("make"), "fusee make: THING is missing: what to make; see: fusee make --help");
}

TEST_F(Usage, NamesAnOptionWithoutItsValue) {
  EXPECT_EQ(Says("make hat --size"),
            "fusee make: --size needs a value: how large; see: fusee make --help");
}

TEST_F(Usage, NamesAnOptionGivenTwice) {
  EXPECT_THAT(Says("make hat --count 1 --count 2"), HasSubstr("--count is given more than once"));
}

TEST_F(Usage, SaysWhichValuesAreTaken) {
  EXPECT_THAT(Says("make hat --size 10"), HasSubstr("--size: cannot take '10'; expected 1 to 9"));
  EXPECT_THAT(Says("make hat --size x"), HasSubstr("--size: cannot take 'x'; expected 1 to 9"));
  EXPECT_THAT(Says("make hat --weight -3"),
              HasSubstr("--weight: cannot take '-3'; expected a number above 0"));
  EXPECT_THAT(Says("make hat --count x"),
              HasSubstr("--count: cannot take 'x'; expected a whole number"));
  EXPECT_THAT(Says("make hat --shiny maybe"),
              HasSubstr("--shiny: cannot take 'maybe'; expected true or false"));
}

TEST_F(Usage, NamesOptionsThatContradictEachOther) {
  EXPECT_THAT(Says("make hat --size 3 --any-size"), HasSubstr("contradict each other"));
}

TEST_F(Usage, WithoutACommandListsThem) {
  EXPECT_EQ(Says(""), "no command; the commands are: make, break; see: fusee --help");
}

TEST_F(Usage, SuggestsACommand) {
  EXPECT_EQ(NoSuchCommand("amke", app_).message(),
            "no command 'amke'; did you mean make? The commands are: make, break");
  EXPECT_EQ(NoSuchCommand("sing", app_).message(),
            "no command 'sing'; the commands are: make, break");
}

TEST_F(Usage, NoMessageIsThatOfTheLibrary) {
  for (const char* line : {"", "make", "make hat --sise", "make a b", "make hat --size",
                           "make hat --size x", "make hat --shiny maybe"})
    EXPECT_THAT(Says(line), Not(HasSubstr("Run with --help"))) << line;
}

}  // namespace
}  // namespace fusee::cli
