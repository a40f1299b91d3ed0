#include "titan/config/decode.h"

#include "tests/support/catch.h"

namespace {
struct ToyArgs {
  int64_t dim = 8;
  double scale = 1.0;
  bool qk_norm = true;
  std::optional<int64_t> kv_heads;
  std::string mode = "a";
};
template <class V>
void visit_fields(ToyArgs& c, V&& v) {
  v("dim", c.dim, "width", titan::rule::at_least(1));
  v("scale", c.scale, "scale");
  v("qk_norm", c.qk_norm, "norm");
  v("kv_heads", c.kv_heads, "heads");
  v("mode", c.mode, "mode", titan::rule::one_of({"a", "b"}));
}
titan::ArgValue raw(const std::string& text) {
  return {{titan::RawText{text}}, false, "command line"};
}
}  // namespace

TEST_CASE("decode_args writes over the defaults it is given", "[config]") {
  ToyArgs defaults;
  defaults.dim = 16;
  const titan::ArgTable table = {{"scale", raw("2")},
                                 {"kv_heads", {{int64_t{4}}, false, "a.toml:3"}}};
  const auto args = titan::decode_args(table, defaults);
  REQUIRE(args.ok());
  CHECK(args->dim == 16);
  CHECK(args->scale == 2.0);
  CHECK(args->kv_heads == 4);
}

TEST_CASE("decode_args reports every problem with place and nearest match", "[config]") {
  const titan::ArgTable table = {{"dmi", {{int64_t{4}}, false, "a.toml:3"}},
                                 {"dim", raw("0")},
                                 {"mode", raw("c")},
                                 {"scale", {{std::string("x")}, false, "a.toml:5"}}};
  const auto args = titan::decode_args(table, ToyArgs{});
  REQUIRE_FALSE(args.ok());
  CHECK(args.status().code() == absl::StatusCode::kInvalidArgument);
  const std::string message = titan::message_of(args.status());
  INFO(message);
  CHECK(message.find("[config] 4 problems:") == 0);
  CHECK(message.find("a.toml:3: model.args.dmi: unknown key; did you mean model.args.dim?") !=
        std::string::npos);
  CHECK(message.find("command line: model.args.dim: must be at least 1 (given 0)") !=
        std::string::npos);
  CHECK(message.find("must be one of a, b") != std::string::npos);
  CHECK(message.find("a.toml:5: model.args.scale: must be a number (given \"x\")") !=
        std::string::npos);
}

TEST_CASE("decode_args understands a bare no_ option of a boolean", "[config]") {
  const auto args = titan::decode_args({{"no_qk_norm", raw("true")}}, ToyArgs{});
  REQUIRE(args.ok());
  CHECK_FALSE(args->qk_norm);
  CHECK_FALSE(titan::decode_args({{"no_dim", raw("true")}}, ToyArgs{}).ok());
}
