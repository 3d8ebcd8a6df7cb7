// Pictures: binary PPM files, letterbox, frames.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <fstream>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

struct Picture {
  int width = 0, height = 0;
  std::vector<uint8_t> pixels;  // RGB, row by row

  Picture(int w, int h, uint8_t grey = 0)
      : width(w), height(h), pixels(static_cast<size_t>(w) * static_cast<size_t>(h) * 3, grey) {}
  uint8_t* at(int x, int y) {
    return &pixels[(static_cast<size_t>(y) * static_cast<size_t>(width) + static_cast<size_t>(x)) * 3];
  }
  const uint8_t* at(int x, int y) const { return const_cast<Picture*>(this)->at(x, y); }
};

inline Picture read_ppm(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string magic;
  int width = 0, height = 0, most = 0;
  file >> magic >> width >> height >> most;
  file.get();
  if (!file || magic != "P6" || most != 255 || width < 1 || height < 1 || width > 32768 || height > 32768) {
    throw std::runtime_error(path + " is no binary PPM picture: convert it, for example with ImageMagick or Pillow");
  }
  Picture picture(width, height);
  file.read(reinterpret_cast<char*>(picture.pixels.data()), static_cast<std::streamsize>(picture.pixels.size()));
  if (!file) throw std::runtime_error(path + " is cut");
  return picture;
}

inline void write_ppm(const std::string& path, const Picture& picture) {
  std::ofstream file(path, std::ios::binary);
  file << "P6\n" << picture.width << ' ' << picture.height << "\n255\n";
  file.write(reinterpret_cast<const char*>(picture.pixels.data()), static_cast<std::streamsize>(picture.pixels.size()));
  if (!file) throw std::runtime_error(path + " cannot be written");
}

// Where a picture lies in its square.
struct Place {
  double scale;
  int left, top, width, height;
};

// For each new position two old ones and the second's weight in 2048ths, as in letterbox.py.
struct Tap {
  int first, second, weight;
};

inline std::vector<Tap> taps(int before, int after) {
  std::vector<Tap> found;
  for (int i = 0; i < after; ++i) {
    const double place = std::clamp((i + 0.5) * (static_cast<double>(before) / after) - 0.5, 0.0, before - 1.0);
    const int first = static_cast<int>(std::floor(place));
    found.push_back(
        {first, std::min(first + 1, before - 1), static_cast<int>(std::floor((place - first) * 2048 + 0.5))});
  }
  return found;
}

// Scales to fit and pads with grey 114.
inline Picture letterbox(const Picture& picture, int size, Place& place) {
  place.scale = std::min(static_cast<double>(size) / picture.width, static_cast<double>(size) / picture.height);
  const int width = std::max(1, static_cast<int>(picture.width * place.scale + 0.5));
  const int height = std::max(1, static_cast<int>(picture.height * place.scale + 0.5));
  place.left = (size - width) / 2;
  place.top = (size - height) / 2;
  place.width = picture.width;
  place.height = picture.height;
  Picture square(size, size, 114);
  const std::vector<Tap> columns = taps(picture.width, width), rows = taps(picture.height, height);
  for (int y = 0; y < height; ++y) {
    const Tap& row = rows[static_cast<size_t>(y)];
    for (int x = 0; x < width; ++x) {
      const Tap& column = columns[static_cast<size_t>(x)];
      for (int c = 0; c < 3; ++c) {
        const auto line = [&](int from) {
          return picture.at(column.first, from)[c] * (2048 - column.weight) +
                 picture.at(column.second, from)[c] * column.weight;
        };
        const int64_t sum = static_cast<int64_t>(line(row.first)) * (2048 - row.weight) +
                            static_cast<int64_t>(line(row.second)) * row.weight;
        square.at(place.left + x, place.top + y)[c] = static_cast<uint8_t>((sum + (1 << 21)) >> 22);
      }
    }
  }
  return square;
}

inline void frame(Picture& picture, int x1, int y1, int x2, int y2, const uint8_t (&color)[3]) {
  x2 = std::clamp(x2, x1, picture.width - 1);
  y2 = std::clamp(y2, y1, picture.height - 1);
  for (int y = std::max(y1, 0); y <= y2; ++y) {
    for (int x = std::max(x1, 0); x <= x2; ++x) {
      const int inward = std::min({x - x1, x2 - x, y - y1, y2 - y});
      if (inward < 3) std::copy(color, color + 3, picture.at(x, y));
    }
  }
}
