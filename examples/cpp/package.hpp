// What both programs share: the arguments, a package's files, and the answer as `python -m PACKAGE classify` prints it.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include "decode_jpeg.hpp"

struct Package {
    std::filesystem::path model;
    std::vector<std::string> labels;  // empty where there are none
};

// `folder` is what `zooc compile` wrote, or the import package in it.
inline Package open_package(const std::filesystem::path& folder) {
    namespace fs = std::filesystem;
    std::vector<fs::path> places{folder};
    if (fs::is_directory(folder))
        for (const auto& entry : fs::directory_iterator(folder)) places.push_back(entry.path());
    for (const auto& place : places) {
        if (!fs::exists(place / "model.onnx")) continue;
        Package package{place / "model.onnx", {}};
        std::ifstream labels(place / "labels.txt");
        for (std::string line; std::getline(labels, line);) package.labels.push_back(line);
        return package;
    }
    throw std::runtime_error(folder.string() + ": not a package of zooc, there is no model.onnx");
}

inline void print(const std::string& file, std::vector<float> scores, const std::string& output, const Package& package) {
    if (output == "logits") {  // compiled without softmax
        const float most = *std::max_element(scores.begin(), scores.end());
        float sum = 0;
        for (float& score : scores) sum += score = std::exp(score - most);
        for (float& score : scores) score /= sum;
    }
    std::vector<std::size_t> order(scores.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return scores[a] > scores[b]; });
    std::printf("%s\n", file.c_str());
    for (std::size_t rank = 0; rank < std::min<std::size_t>(5, order.size()); ++rank) {
        const std::size_t index = order[rank];
        const std::string label = index < package.labels.size() ? package.labels[index] : std::to_string(index);
        std::printf("  %.6f  %s (%zu)\n", scores[index], label.c_str(), index);
    }
}

// Runs a program's work on its arguments; every error is one line, and exit code 1.
using Classify = std::function<void(const Package&, const std::vector<std::string>& files)>;

inline int run(int count, char** arguments, const Classify& classify) {
    if (count < 3) {
        std::fprintf(stderr, "usage: %s PACKAGE IMAGE.jpg...\n", arguments[0]);
        return 2;
    }
    try {
        classify(open_package(arguments[1]), {arguments + 2, arguments + count});
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "error: %s\n", error.what());
        return 1;
    }
}
