// Finds objects in a picture with YOLOv5 through rknn_api: detect MODEL PICTURE.ppm copying|zero_copy [OUTPUT.ppm]
#include <cmath>
#include <cstdio>
#include <exception>
#include <memory>
#include <string>

#include "flows.h"

namespace {

constexpr float kConfidence = 0.25F, kOverlap = 0.45F;

void draw(Picture& picture, const Detection& found) {
  const auto shade = [&](int step, int start) { return static_cast<uint8_t>((step * found.kind + start) % 206 + 50); };
  const uint8_t color[3] = {shade(37, 80), shade(91, 160), shade(151, 20)};
  const auto at = [&](int i) { return static_cast<int>(std::lround(found.box[i])); };
  frame(picture, at(0), at(1), at(2), at(3), color);
}

int run(const std::string& model, const std::string& path, const std::string& name, const char* output) {
  std::unique_ptr<Flow> flow;
  if (name == "copying") flow = std::make_unique<Copying>(model);
  if (name == "zero_copy") flow = std::make_unique<ZeroCopy>(model);
  if (flow == nullptr) throw std::runtime_error("the flow is copying or zero_copy, not " + name);
  Picture picture = read_ppm(path);
  Place place{};
  const Picture square = letterbox(picture, flow->size(), place);
  std::vector<Detection> found = suppress(candidates(flow->run(square), flow->size(), kConfidence), kOverlap);
  for (Detection& one : found) {
    to_picture(one, place);
    std::printf("%d %.4f %.2f %.2f %.2f %.2f\n", one.kind, static_cast<double>(one.score),
                static_cast<double>(one.box[0]), static_cast<double>(one.box[1]), static_cast<double>(one.box[2]),
                static_cast<double>(one.box[3]));
  }
  if (output != nullptr) {
    for (size_t i = found.size(); i > 0; --i) draw(picture, found[i - 1]);
    write_ppm(output, picture);
  }
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 4) {
    std::fprintf(stderr, "usage: detect MODEL PICTURE.ppm copying|zero_copy [OUTPUT.ppm]\n");
    return 2;
  }
  try {
    return run(arguments[1], arguments[2], arguments[3], count > 4 ? arguments[4] : nullptr);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
}
