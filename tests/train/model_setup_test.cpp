#include "tests/support/catch.h"

#include "titan/train/model_setup.h"

#include <ATen/ATen.h>

#include "titan/config/job_config.h"
#include "titan/plan/data_view.h"

namespace titan {

TEST_CASE("The data's shape lists every field, and preprocessed latents stand for an image",
          "[train]") {
  JobConfig config;
  config.training.dataset = "flux_synthetic";
  config.training.img_size = 32;
  config.encoder.max_t5_encoding_len = 3;
  config.encoder.context_in_dim = 5;
  config.encoder.vec_in_dim = 7;
  const auto dataset = open_dataset(config);
  REQUIRE(dataset.ok());
  const StatusOr<DataShape> shape = shape_of(**dataset, 0);
  REQUIRE(shape.ok());
  CHECK(shape->image == std::vector<int64_t>{16, 4, 4});
  CHECK(shape->num_classes == 0);
  CHECK(shape->fields.size() == 5);
  CHECK(shape->fields.at("t5_encodings") == std::vector<int64_t>{3, 5});
  CHECK(shape->fields.at("clip_encodings") == std::vector<int64_t>{7});
  CHECK(shape->fields.at("mean") == shape->image);
  CHECK(shape->has("timestep"));
  CHECK(shape->fields.at("timestep").empty());
  CHECK_FALSE(shape->has("image"));

  config.training.dataset = "synthetic";
  const auto images = open_dataset(config);
  REQUIRE(images.ok());
  const StatusOr<DataShape> plain = shape_of(**images, 0);
  REQUIRE(plain.ok());
  CHECK(plain->image == std::vector<int64_t>{3, 32, 32});
  CHECK(plain->fields.at("image") == plain->image);
  CHECK(plain->num_classes == 10);
}

}  // namespace titan
