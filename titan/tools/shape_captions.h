// shape_captions.h: the shapes' captions in several wordings, some of which training never sees.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "titan/tools/shapes.h"

namespace titan {

/// Captions of a scene in all wordings of training; the first is caption_of(). Each names colour
/// and shape, some also size, place and background.
std::vector<std::string> training_captions(const ShapeScene& scene);

/// The one of them that sample `scene.sample` of data set `seed` gets: a pure function of both.
std::string drawn_caption(const ShapeScene& scene, std::uint64_t seed);

/// Prompts for class `label` in wordings that no training caption has, of words that they have:
/// a model that does well on them reads words, not sentences.
std::vector<std::string> unseen_prompts(int label);

}  // namespace titan
