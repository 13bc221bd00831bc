// Classifies JPEG files with a package's model.onnx in OpenVINO.
#include <openvino/openvino.hpp>

#include "package.hpp"

int main(int count, char** arguments) {
    return run(count, arguments, [](const Package& package, const std::vector<std::string>& files) {
        ov::Core core;
        // By default OpenVINO computes float layers in bf16 where the CPU has it; the package was compiled in float32.
        auto network = core.compile_model(package.model.string(), "CPU",
                                          ov::hint::inference_precision(ov::element::f32));
        auto request = network.create_infer_request();
        const std::string output = network.output(0).get_any_name();
        for (const std::string& file : files) {
            Image image = decode_jpeg(file);
            request.set_input_tensor(
                ov::Tensor(ov::element::u8, {image.height, image.width, 3}, image.pixels.data()));
            request.infer();
            const ov::Tensor scores = request.get_output_tensor(0);
            const float* first = scores.data<float>();
            print(file, {first, first + scores.get_shape().back()}, output, package);
        }
    });
}
