/* The copying flow as board programs write it: a uint8 picture in NHWC in, float32 out.
 * copying_client MODEL PICTURE OUTPUT RUNS */
#include "clients.h"

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  uint32_t model_size = 0;
  void* model = read_model(argv[1], &model_size);
  rknn_context context = 0;
  CHECK(rknn_init(&context, model, model_size, 0, NULL));
  free(model);

  rknn_sdk_version version;
  CHECK(rknn_query(context, RKNN_QUERY_SDK_VERSION, &version, sizeof(version)));
  printf("%s\n", version.api_version);
  rknn_input_output_num numbers;
  CHECK(rknn_query(context, RKNN_QUERY_IN_OUT_NUM, &numbers, sizeof(numbers)));
  if (numbers.n_input != 1 || numbers.n_output != 1) return 3;
  rknn_tensor_attr attr;
  memset(&attr, 0, sizeof(attr));
  CHECK(rknn_query(context, RKNN_QUERY_INPUT_ATTR, &attr, sizeof(attr)));

  unsigned char* picture = malloc(attr.n_elems);
  read_into(argv[2], picture, attr.n_elems);
  rknn_input input;
  memset(&input, 0, sizeof(input));
  input.buf = picture;
  input.size = attr.n_elems;
  input.type = RKNN_TENSOR_UINT8;
  input.fmt = RKNN_TENSOR_NHWC;
  for (int run = 0; run < atoi(argv[4]); ++run) {
    CHECK(rknn_inputs_set(context, 1, &input));
    CHECK(rknn_run(context, NULL));
    rknn_output output;
    memset(&output, 0, sizeof(output));
    output.want_float = 1;
    CHECK(rknn_outputs_get(context, 1, &output, NULL));
    write_out(argv[3], output.buf, output.size);
    CHECK(rknn_outputs_release(context, 1, &output));
  }
  free(picture);
  CHECK(rknn_destroy(context));
  return 0;
}
