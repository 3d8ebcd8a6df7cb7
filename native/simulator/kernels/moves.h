// Codes that are looked up or copied.
#pragma once

#include <cstddef>
#include <cstdint>

namespace rknn_ep::simulator {

// output[i] = table[input[i]], with a table of 256 entries.
void look_up(const uint8_t* table, const uint8_t* input, size_t count, uint8_t* output);

// `rows` equal lines, in each of which every pixel of `channels` codes stands `columns` times.
void repeat_line(const uint8_t* input, size_t width, size_t channels, size_t rows, size_t columns, uint8_t* output);

}  // namespace rknn_ep::simulator
