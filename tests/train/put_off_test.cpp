#include "tests/support/catch.h"

#include "titan/train/put_off.h"

#include "titan/metrics/jsonl.h"

#include "tests/support/temporary_folder.h"

using titan::find_put_off;
using titan::PutOff;
using titan::metrics::JsonlSink;

TEST_CASE("What was put off is found until it is done", "[train]") {
  const titan::testing::TemporaryFolder folder;
  const std::string path = folder / "metrics.jsonl";
  CHECK_FALSE(find_put_off(path, 4).any());  // no file
  const auto sink = *JsonlSink::open(path);
  sink->eval({.step = 2, .samples = 8});
  sink->event(titan::put_off_event({.evaluation = true, .pictures = true}, 4));
  CHECK_FALSE(find_put_off(path, 2).any());
  const PutOff left = find_put_off(path, 4);
  CHECK(left.evaluation);
  CHECK(left.pictures);
  CHECK_FALSE(left.evaluation_pictures);
  CHECK(left.text() == "the evaluation, the pictures");
  sink->eval({.step = 4, .samples = 8});
  CHECK_FALSE(find_put_off(path, 4).evaluation);
  CHECK(find_put_off(path, 4).pictures);
  sink->event({.step = 4, .name = "sample"});
  CHECK_FALSE(find_put_off(path, 4).any());
  // Stopped in the same place again.
  sink->event(titan::put_off_event({.evaluation_pictures = true}, 4));
  CHECK(find_put_off(path, 4).evaluation_pictures);
}
