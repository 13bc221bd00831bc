// Classifies JPEG files with a package's model.onnx in OpenVINO.
#include <openvino/openvino.hpp>

#include "package.hpp"

int main(int count, char** arguments) {
    return run(count, arguments, [](const Package& package, const std::vector<std::string>& files) {
        ov::Core core;
        const auto model = core.read_model(package.model.string());
        const auto input = model->input();
        if (input.get_element_type() != ov::element::u8 || input.get_partial_shape().rank() != 3)
            throw std::runtime_error(package.model.string() + ": does not take uint8 images [height, width, 3]");
        // On a CPU that has bf16 OpenVINO rounds float layers to it unless told otherwise.
        auto network = core.compile_model(model, "CPU", ov::hint::inference_precision(ov::element::f32));
        auto request = network.create_infer_request();
        const std::string output = network.output().get_any_name();
        for (const std::string& file : files) {
            Image image = decode_jpeg(file);
            request.set_input_tensor({ov::element::u8, {image.height, image.width, 3}, image.pixels.data()});
            request.infer();
            const ov::Tensor scores = request.get_output_tensor();
            // A network of a fixed batch answers once for each of its rows, which are all this image.
            const float* row = scores.data<float>();
            print(package, file, output, {row, row + scores.get_shape().back()});
        }
    });
}
