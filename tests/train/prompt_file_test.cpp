#include "tests/support/catch.h"

#include "titan/train/prompt_file.h"

#include "tests/support/temporary_folder.h"

namespace titan {
namespace {

using testing::TemporaryFolder;

std::string problem_of(const std::string& path) {
  const StatusOr<PromptFile> file = read_prompt_file(path);
  REQUIRE_FALSE(file.ok());
  REQUIRE(exit_code_for(file.status()) == 2);
  return message_of(file.status());
}

}  // namespace

TEST_CASE("Prompts are the lines of a file, without line ends and blank lines", "[train]") {
  const TemporaryFolder folder;
  const StatusOr<PromptFile> file =
      read_prompt_file(folder.write("p.txt",
                                    "\xEF\xBB\xBF"
                                    "first\r\n\n  a cat, Käse  \n \t\r\nlast without end"));
  REQUIRE(file.ok());
  CHECK(file->prompts == std::vector<std::string>{"first", "  a cat, Käse  ", "last without end"});
  CHECK(file->blank_lines == 2);
}

TEST_CASE("A prompt of ten thousand words is one prompt", "[train]") {
  const TemporaryFolder folder;
  std::string words;
  for (int i = 0; i < 10000; ++i) words += "word ";
  const StatusOr<PromptFile> file = read_prompt_file(folder.write("p.txt", words + "\nb\n"));
  REQUIRE(file.ok());
  REQUIRE(file->prompts.size() == 2);
  CHECK(file->prompts[0] == words);
}

TEST_CASE("What is wrong with a file of prompts is said with file and line", "[train]") {
  const TemporaryFolder folder;
  CHECK_THAT(problem_of(folder / "missing.txt"),
             Catch::Contains("one prompt a line") && Catch::Contains("missing.txt"));
  for (const char* text : {"", "\n\n", " \r\n\t"})
    CHECK_THAT(problem_of(folder.write("empty.txt", text)), Catch::Contains("holds no prompts"));
  CHECK_THAT(problem_of(folder.write("latin.txt", "good\n\nK\xE4se\n")),
             Catch::Contains("latin.txt:3") && Catch::Contains("not UTF-8"));
  CHECK_THAT(problem_of(folder.write("zero.txt", std::string("a\nb\0c\n", 6))),
             Catch::Contains("zero.txt:2") && Catch::Contains("zero byte"));
  CHECK_THAT(problem_of(folder.path().string()), Catch::Contains(folder.path().string()));
}

}  // namespace titan
