// From the three raw heads to boxes: anchors, confidence, suppression within each class. The same as decode.py.
#pragma once

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include "picture.h"

struct Detection {
  int kind;
  float score;
  float box[4];  // x1 y1 x2 y2
};

// One output of the network: float32 [channels, rows, columns].
struct Output {
  int channels, rows, columns;
  std::vector<float> values;
};

constexpr int kAnchors = 3, kFields = 5;
constexpr size_t kMost = 300;

inline const float (&anchors_of(int stride)) [kAnchors][2] {
  static constexpr float kSizes[3][kAnchors][2] = {
      {{10, 13}, {16, 30}, {33, 23}}, {{30, 61}, {62, 45}, {59, 119}}, {{116, 90}, {156, 198}, {373, 326}}};
  if (stride != 8 && stride != 16 && stride != 32) {
    throw std::runtime_error("a head of stride " + std::to_string(stride) +
                             ": this program takes the raw form of YOLOv5");
  }
  return kSizes[stride == 8 ? 0 : stride == 16 ? 1 : 2];
}

inline std::vector<Detection> candidates(std::vector<Output> outputs, int size, float confidence) {
  std::sort(outputs.begin(), outputs.end(), [](const Output& a, const Output& b) { return a.rows > b.rows; });
  const bool activated = std::all_of(outputs.begin(), outputs.end(), [](const Output& output) {
    return std::all_of(output.values.begin(), output.values.end(),
                       [](float value) { return value >= 0 && value <= 1; });
  });
  const auto probability = [activated](float value) { return activated ? value : 1.0F / (1.0F + std::exp(-value)); };
  std::vector<Detection> found;
  for (const Output& output : outputs) {
    const int stride = size / output.rows, classes = output.channels / kAnchors - kFields;
    const auto& anchors = anchors_of(stride);
    const size_t plane = static_cast<size_t>(output.rows) * static_cast<size_t>(output.columns);
    for (int anchor = 0; anchor < kAnchors; ++anchor) {
      for (int row = 0; row < output.rows; ++row) {
        for (int column = 0; column < output.columns; ++column) {
          const size_t cell = static_cast<size_t>(anchor * (classes + kFields)) * plane +
                              static_cast<size_t>(row * output.columns + column);
          const auto field = [&](int index) { return output.values[cell + static_cast<size_t>(index) * plane]; };
          const float objectness = probability(field(4));
          if (objectness < confidence) continue;
          int best = 0;
          for (int kind = 1; kind < classes; ++kind) {
            if (field(kFields + kind) > field(kFields + best)) best = kind;
          }
          const float score = objectness * probability(field(kFields + best));
          if (score < confidence) continue;
          const auto step = static_cast<float>(stride);
          const float x = (probability(field(0)) * 2 - 0.5F + static_cast<float>(column)) * step;
          const float y = (probability(field(1)) * 2 - 0.5F + static_cast<float>(row)) * step;
          const float w = probability(field(2)) * 2, h = probability(field(3)) * 2;
          const float width = w * w * anchors[anchor][0], height = h * h * anchors[anchor][1];
          found.push_back({best, score, {x - width / 2, y - height / 2, x + width / 2, y + height / 2}});
        }
      }
    }
  }
  return found;
}

inline float overlap(const Detection& a, const Detection& b) {
  const float w = std::max(std::min(a.box[2], b.box[2]) - std::max(a.box[0], b.box[0]), 0.0F);
  const float h = std::max(std::min(a.box[3], b.box[3]) - std::max(a.box[1], b.box[1]), 0.0F);
  const auto area = [](const Detection& one) { return (one.box[2] - one.box[0]) * (one.box[3] - one.box[1]); };
  return w * h / std::max(area(a) + area(b) - w * h, 1e-9F);
}

inline std::vector<Detection> suppress(std::vector<Detection> found, float most_overlap) {
  std::stable_sort(found.begin(), found.end(),
                   [](const Detection& a, const Detection& b) { return a.score > b.score; });
  std::vector<Detection> stay;
  for (const Detection& one : found) {
    if (stay.size() == kMost) break;
    const bool covered = std::any_of(stay.begin(), stay.end(), [&](const Detection& better) {
      return better.kind == one.kind && overlap(better, one) > most_overlap;
    });
    if (!covered) stay.push_back(one);
  }
  return stay;
}

inline void to_picture(Detection& found, const Place& place) {
  for (int i = 0; i < 4; ++i) {
    const auto most = static_cast<float>(i % 2 == 0 ? place.width : place.height);
    const float moved = found.box[i] - static_cast<float>(i % 2 == 0 ? place.left : place.top);
    found.box[i] = std::clamp(moved / static_cast<float>(place.scale), 0.0F, most);
  }
}
