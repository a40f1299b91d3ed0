// Packing and positions, bit for bit.
#include "tests/support/catch.h"

#include "titan/models/flux/latents.h"

#include "tests/support/golden.h"

namespace titan {
namespace {

TEST_CASE("latents are packed, unpacked and placed as the reference does", "[golden]") {
  const auto cases = testing::golden_cases("flux", "pack");
  if (cases.empty()) TITAN_SKIP(testing::kNoGolden);
  for (const auto& path : cases) {
    const testing::GoldenCase golden = testing::load_golden(path);
    const auto latents = golden.with_prefix("input.latent.");
    REQUIRE(!latents.empty());
    for (const auto& [index, latent] : latents) {
      INFO(path << " " << index);
      const int64_t rows = latent.size(2) / 2, columns = latent.size(3) / 2;
      const at::Tensor packed = models::pack_latents(latent);
      REQUIRE(at::equal(packed, golden.at("output.packed." + index)));
      REQUIRE(at::equal(models::unpack_latents(packed, rows, columns), latent));
      const at::Tensor ids = golden.at("output.ids." + index);
      for (int64_t b = 0; b < ids.size(0); ++b)
        REQUIRE(at::equal(models::image_positions(rows, columns), ids[b]));
    }
  }
}

TEST_CASE("a text token lies at the origin, in front of the image", "[flux]") {
  const at::Tensor positions = models::joint_positions(3, 2, 4);
  REQUIRE(positions.sizes() == at::IntArrayRef({11, 3}));
  REQUIRE(positions.narrow(0, 0, 3).abs().max().item<double>() == 0.0);
  REQUIRE(at::equal(positions.narrow(0, 3, 8), models::image_positions(2, 4)));
}

TEST_CASE("odd latents and tokens that do not fill the grid are refused by name", "[flux]") {
  REQUIRE_THROWS_WITH(models::pack_latents(at::zeros({1, 4, 3, 4})),
                      Catch::Contains("even H and W"));
  REQUIRE_THROWS_WITH(models::unpack_latents(at::zeros({1, 5, 16}), 2, 3),
                      Catch::Contains("do not fill the grid"));
}

}  // namespace
}  // namespace titan
