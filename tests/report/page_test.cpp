#include <nlohmann/json.hpp>

#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "titan/base/check.h"
#include "titan/report/report_page.h"

using namespace titan::report;
using nlohmann::json;
using titan::str_cat;
using titan::testing::TemporaryFolder;

namespace {

json data_of(const std::vector<RunFiles>& runs, const PageOptions& options = {}) {
  GridPacker packer;
  return json::parse(page_data(runs, options, packer));
}

/// What a browser takes for the page's data: up to the next end of a script.
json data_in(const std::string& page) {
  const std::string open = "<script type=\"application/json\" id=\"data\">";
  const std::size_t begin = page.find(open) + open.size();
  return json::parse(page.substr(begin, page.find("</script", begin) - begin));
}

}  // namespace

TEST_CASE("Texts of a run can neither end a script nor become HTML", "[report]") {
  const TemporaryFolder folder;
  const std::string evil = "</script><script>alert(1)</script><!--{{data}}\xff\xe2\x80\xa8&amp;";
  folder.write(
      "run/metrics.jsonl",
      R"({"kind":"train","step":1,"samples":1,"loss":1,"</script>":2})"
      "\n"
      R"({"kind":"event","step":1,"event":"</script>","why":"<img src=x onerror=alert(1)>"})"
      "\n");
  folder.write("run/run.json", json({{"description", "</script><b>"}, {"device", "<i>"}}).dump());
  folder.write("run/config.toml", "[job]\ndescription = \"</script>\"\n");
  auto run = read_run(folder.path() / "run");
  REQUIRE(run.ok());
  run->name = evil;
  run->notes.push_back(evil);
  GridPacker packer;
  const std::string page = render_page({*run}, {.written = evil}, packer);
  const json data = data_in(page);
  REQUIRE(data["runs"][0]["facts"][0][1] == "</script><b>");
  REQUIRE(data["runs"][0]["events"][0]["name"] == "</script>");
  REQUIRE(data["runs"][0]["train"]["series"].contains("</script>"));
  const std::string begin = data["runs"][0]["name"].get<std::string>().substr(0, 33);
  REQUIRE(begin == evil.substr(0, 33));
  // As many scripts as the template has, and none of the texts outside its data.
  const auto count = [&](const std::string& text) {
    std::size_t found = 0;
    for (std::size_t at = page.find(text); at != std::string::npos; at = page.find(text, at + 1))
      ++found;
    return found;
  };
  REQUIRE(count("</script>") == 5);
  REQUIRE(count("alert(1)</script") == 0);
  REQUIRE(count("<img src=x") == 0);
  REQUIRE(script_safe("{\"a\":\"<b>\"}") == "{\"a\":\"\\u003cb>\"}");
}

TEST_CASE("The page says what it may load: nothing", "[report]") {
  const TemporaryFolder folder;
  folder.write("run/metrics.jsonl", "");
  GridPacker packer;
  const std::string page = render_page({*read_run(folder.path() / "run")}, {}, packer);
  REQUIRE(page.find("default-src 'none'; img-src data:;") != std::string::npos);
  REQUIRE(page.find("src=\"http") == std::string::npos);
  REQUIRE(page.find("Chart.js v3") != std::string::npos);
  REQUIRE(page.find("Released under the MIT License") != std::string::npos);
  REQUIRE(page.find("sourceMappingURL") == std::string::npos);
}

TEST_CASE("Curves keep spikes, gaps and both ends in few points", "[report]") {
  const TemporaryFolder folder;
  std::string lines;
  for (int step = 1; step <= 10000; ++step) {
    const std::string loss = step == 5000 ? "null" : step == 6000 ? "77.5" : "0.5";
    lines += str_cat(R"({"kind":"train","step":)", step, R"(,"samples":)", 8 * step, R"(,"loss":)",
                     loss, R"(,"mfu":null,"step_s":0.1})", "\n");
  }
  folder.write("run/metrics.jsonl", lines);
  const auto run = read_run(folder.path() / "run");
  const json train = data_of({*run})["runs"][0]["train"];
  REQUIRE(train["records"] == 10000);
  REQUIRE(train["points"] == 500);
  REQUIRE(train["step"].front() == 1);
  REQUIRE(train["step"].back() == 10000);
  REQUIRE(train["samples"].back() == 80000);
  const json loss = train["series"]["loss"];
  double highest = 0;
  for (const json& value : loss["high"]) highest = std::max(highest, value.get<double>());
  REQUIRE(highest == 77.5);
  REQUIRE(loss["missing"].size() == 1);
  const std::size_t bucket = loss["missing"][0][0];
  REQUIRE(loss["missing"][0][1] == 1);
  REQUIRE(std::abs(train["step"][bucket].get<double>() - 5000) < 21);
  REQUIRE_FALSE(train["series"].contains("mfu"));  // unknown throughout
  const json three = data_of({*run, *run, *run});
  REQUIRE(three["runs"][2]["train"]["points"] == 500);
  const json many = data_of(std::vector<RunFiles>(6, *run));
  REQUIRE(many["runs"][5]["train"]["points"] == 250);
}

TEST_CASE("One run shows its settings, several the ones that differ; names tell them apart",
          "[report]") {
  const TemporaryFolder folder;
  folder.write("a/run/config.toml", "[x]\na = 1\nb = 2\n");
  folder.write("b/run/config.toml", "[x]\na = 1\nb = 3\n");
  const auto a = read_run(folder.path() / "a/run"), b = read_run(folder.path() / "b/run");
  REQUIRE(data_of({*a})["settings"] == json::parse(R"([["x.a", "1"], ["x.b", "2"]])"));
  const json both = data_of({*a, *b});
  REQUIRE(both["settings"] == json::parse(R"([["x.b", "2", "3"]])"));
  REQUIRE(both["runs"][0]["name"] != both["runs"][1]["name"]);
  REQUIRE(data_of({*a})["runs"][0]["name"] == "run");
}
