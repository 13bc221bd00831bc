// Runs a model.onnx in OpenVINO's C++ API on raw bytes, for test_examples.py:
//
//     run_openvino MODEL u8|f32 INPUT OUTPUT DIMENSION...
//
// Each output of the model is appended to OUTPUT, as float32.
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <openvino/openvino.hpp>

int main(int count, char** arguments) {
    std::ifstream file(arguments[3], std::ios::binary);
    std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
    ov::Shape shape;
    for (int at = 5; at < count; ++at) shape.push_back(std::stoul(arguments[at]));
    const auto type = std::string(arguments[2]) == "u8" ? ov::element::u8 : ov::element::f32;

    ov::Core core;
    auto network = core.compile_model(arguments[1], "CPU", ov::hint::inference_precision(ov::element::f32));
    auto request = network.create_infer_request();
    request.set_input_tensor(ov::Tensor(type, shape, bytes.data()));
    request.infer();

    std::ofstream output(arguments[4], std::ios::binary);
    for (std::size_t index = 0; index < network.outputs().size(); ++index) {
        const ov::Tensor tensor = request.get_output_tensor(index);
        for (std::size_t at = 0; at < tensor.get_size(); ++at) {
            const float value = tensor.get_element_type() == ov::element::u8
                                    ? static_cast<float>(tensor.data<uint8_t>()[at])
                                    : tensor.data<float>()[at];
            output.write(reinterpret_cast<const char*>(&value), sizeof value);
        }
    }
}
