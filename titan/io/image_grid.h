// image_grid.h: pictures in labelled rows and columns, for looking at samples.
#pragma once

#include <string>
#include <vector>

#include "titan/io/image.h"

namespace titan {

/// One picture (any mode, any size) and the words written under it: a class or a prompt.
struct Tile {
  Image image;
  std::string label;
};

/// Pictures that belong together, under one heading: "guidance 3.0", "real".
struct TileGroup {
  std::string heading;
  std::vector<Tile> tiles;
};

struct GridOptions {
  std::string title;        ///< one line above all; none if empty
  int columns = 4;          ///< pictures in a row of a group
  int min_tile_side = 96;   ///< smaller pictures are enlarged by a whole factor until their shorter
                            ///< side is at least this
  int max_label_lines = 4;  ///< longer labels end in "..."
  int text_scale = 1;       ///< size of letters; 1 = 5 x 7 pixels
};

/// Lays groups side by side, tile i of each group in the same row and column. Returns kRgb; white
/// paper, dark letters. No groups, or groups without tiles, give a picture of the title alone.
Image compose_grid(const std::vector<TileGroup>& groups, const GridOptions& options = {});

}  // namespace titan
