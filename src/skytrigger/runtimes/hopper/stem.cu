// The first two layers in one kernel: tiles as they are stored -> standardised -> 3x3 convolution + bias + ReLU -> this
// file's `convolution` of the second layer (pooled or not). What lies between them never leaves shared memory.
//
// Appended to convolution.cu, whose definitions are the second layer's; CIN is also what the first layer puts out. A
// tile's outputs need the first layer on a border of one pixel more, and its inputs on two: rows of WIDE pixels, which
// the first layer's squares run through as one line (its last columns are of no use and are not kept).

constexpr int FIRST = 16, WIDE = TILE_W + 4, WIDE_PIXELS = WIDE * (TILE_H + 4), WIDE_PLANE = WIDE_PIXELS * 16;
constexpr int FIRST_WEIGHTS = 9 * FIRST * CIN * 2, LINE = (TILE_H + 2) * WIDE - 2;
constexpr int FIRST_SQUARES = (LINE + 127) / 128;  // each warpgroup
constexpr int GIVEN = (2 * WIDE_PIXELS + THREADS - 1) / THREADS;  // pieces of eight channels, each thread
static_assert(FIRST_SQUARES % STEM_SQUARES == 0, "STEM_SQUARES at once, of each warpgroup");
static_assert(IMAGES == 1 && COUT == N && CIN % 8 == 0 && CIN <= 64, "one image a tile, all channels in a block");

// Where a square of 64 begins in the line; the last one looks back, since the line ends.
DEVICE int first_pixel(int square) { return square * 64 < LINE - 64 ? square * 64 : LINE - 64; }

DEVICE float standardised(Stored stored, float mean, float scale) {
#if KIND == 1
    return (half_to_float(stored) - mean) * scale;
#else
    return ((float)stored - mean) * scale;
#endif
}

// A tile's pixels on their way: loaded into registers while the tile before is worked on.
struct Given {
    Stored value[GIVEN][8];
    unsigned inside;  // a bit a piece
    DEVICE void load(const Stored* tiles, int channels, Tile tile) {
        inside = 0;
#pragma unroll
        for (int p = 0; p < GIVEN; p++) {
            const int i = anew(threadIdx.x + p * THREADS), group = i / WIDE_PIXELS, pixel = i % WIDE_PIXELS;
            const int row = tile.row + pixel / WIDE - 2, column = tile.column + pixel % WIDE - 2;
            if (i < 2 * WIDE_PIXELS && (unsigned)row < HEIGHT && (unsigned)column < WIDTH) {
                inside |= 1u << p;
                const Stored* from = tiles + (((long long)tile.image * channels + group * 8) * HEIGHT + row) * WIDTH + column;
#pragma unroll
                for (int c = 0; c < 8; c++)
                    if (group * 8 + c < channels) value[p][c] = from[c * HEIGHT * WIDTH];
            }
        }
    }
    DEVICE void put(unsigned to, const float* norm, int channels) const {
#pragma unroll
        for (int p = 0; p < GIVEN; p++) {
            const int i = anew(threadIdx.x + p * THREADS), group = i / WIDE_PIXELS, pixel = i % WIDE_PIXELS;
            if (i < 2 * WIDE_PIXELS) {
                Eight eight;
#pragma unroll
                for (int pair = 0; pair < 4; pair++) {
                    float two[2];
#pragma unroll
                    for (int k = 0; k < 2; k++) {
                        const int c = group * 8 + 2 * pair + k;
                        const bool there = (inside >> p & 1) && c < channels;
                        two[k] = there ? standardised(value[p][2 * pair + k], norm[c], norm[FIRST + c]) : 0.0f;
                    }
                    eight.pairs[pair] = two_halves(two[0], two[1]);
                }
                put16(to + group * WIDE_PLANE + pixel * 16, eight.pairs);
            }
        }
    }
};

// Outputs of a square of the first layer to where the second one reads them; zeros outside of the image.
DEVICE void keep(unsigned to, const float* bias, const float (&sums)[CIN / 2], int begin, Tile tile) {
    const int pair = threadIdx.x % 4, lane = threadIdx.x % 32, warp = threadIdx.x / 32 % 4;
#pragma unroll
    for (int half = 0; half < 2; half++) {
        const int place = anew(begin + warp * 16 + lane / 4 + 8 * half), row = place / WIDE, column = place % WIDE;
        if (column < ROW) {
            const bool inside = ((unsigned)(tile.row + row - 1) < HEIGHT) & ((unsigned)(tile.column + column - 1) < WIDTH);
#pragma unroll
            for (int j = 0; j < CIN / 8; j++) {
                const float b0 = bias[8 * j + 2 * pair], b1 = bias[8 * j + 2 * pair + 1];
                const float *s = sums + 4 * j + 2 * half;
                const unsigned both = two_halves(larger(s[0] + b0, 0.0f), larger(s[1] + b1, 0.0f));
                put4(to + j * PLANE + (row * ROW + column) * 16 + pair * 4, inside ? both : 0);
            }
        }
    }
}

// first_weights: [tap][2][CIN][8] float16; weights: as of `convolution`; grid: blocks that share the tiles
extern "C" __global__ void __launch_bounds__(THREADS, STEM_BLOCKS)
stem(const Stored* tiles, const float* mean, const float* scale, const unsigned short* first_weights,
     const float* first_bias, const unsigned short* weights, const float* bias, unsigned short* out, int channels, int count) {
    const unsigned held = shared_address(shared), first_held = held + WEIGHTS, given_at = first_held + FIRST_WEIGHTS;
    const unsigned between = given_at + 2 * WIDE_PLANE;
    __shared__ float norm[2 * FIRST], biases[CIN + N];
    if (threadIdx.x < channels) norm[threadIdx.x] = mean[threadIdx.x], norm[FIRST + threadIdx.x] = scale[threadIdx.x];
    if (threadIdx.x < CIN) biases[threadIdx.x] = first_bias[threadIdx.x];
    if (threadIdx.x < N) biases[CIN + threadIdx.x] = bias[threadIdx.x];
    for (int i = threadIdx.x; i < WEIGHTS / 16; i += THREADS) copy16(held + i * 16, weights + i * 8, true);
    for (int i = threadIdx.x; i < FIRST_WEIGHTS / 16; i += THREADS)
        copy16(first_held + i * 16, first_weights + i * 8, true);
    copies_committed();
    const int group = threadIdx.x / 128, number_of_tiles = count * (ACROSS * DOWN);
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32 % 4;
    Given given;
    if ((int)blockIdx.x < number_of_tiles) given.load(tiles, channels, Tile(blockIdx.x));
    copies_done<0>();
    __syncthreads();  // the biases and means, too
    for (int number = blockIdx.x; number < number_of_tiles; number += gridDim.x) {
        const Tile tile(number);
        given.put(given_at, norm, channels);  // the last tile's first products are done: there was a barrier since
        puts_seen();
        __syncthreads();

#pragma unroll
        for (int passed = 0; passed < FIRST_SQUARES; passed += STEM_SQUARES) {
            float first_sums[STEM_SQUARES][CIN / 2];
            warp_together();
            products_begin();
#pragma unroll
            for (int tap = 0; tap < 9; tap++)
#pragma unroll
                for (int s = 0; s < STEM_SQUARES; s++) {
                    const int begin = first_pixel(group * FIRST_SQUARES + passed + s);
                    const unsigned rows = given_at + (begin + tap / 3 * WIDE + tap % 3) * 16;
                    product(first_sums[s], descriptor(rows, WIDE_PLANE, 128),
                            descriptor(first_held + tap * 2 * CIN * 16, CIN * 16, 128), tap > 0);
                }
            products_committed();
            products_done<0>();
#pragma unroll
            for (int s = 0; s < STEM_SQUARES; s++) {
                settled(first_sums[s]);
                keep(between, biases, first_sums[s], first_pixel(group * FIRST_SQUARES + passed + s), tile);
            }
        }
        puts_seen();
        __syncthreads();
        // not before: registers for the first layer's sums and for pixels under way would not be had at once
        if (number + (int)gridDim.x < number_of_tiles) given.load(tiles, channels, Tile(number + gridDim.x));
        warp_together();
        float sums[SQUARES][N / 2];
        products_begin();
#pragma unroll
        for (int step = 0; step < CHUNKS * 9; step++) {
            const int chunk = step / 9, tap = step % 9;
            const unsigned columns = held + (tap * (CIN / 8) + chunk * (CHUNK / 8)) * N * 16;
#pragma unroll
            for (int s = 0; s < SQUARES; s++) {
                const int square = group * SQUARES + s, row = square / (TILE_W / 8) * 8, column = square % (TILE_W / 8) * 8;
                const unsigned rows = between + chunk * STAGE + ((row + tap / 3) * ROW + column + tap % 3) * 16;
                product(sums[s], descriptor(rows, PLANE, ROW * 16), descriptor(columns, N * 16, 128), step > 0);
            }
        }
        products_committed();
        products_done<0>();
#pragma unroll
        for (int s = 0; s < SQUARES; s++) {
            settled(sums[s]);
            const int square = group * SQUARES + s;
            store(out, biases + CIN, sums[s], tile.image, tile.row + square / (TILE_W / 8) * 8 + 2 * warp,
                  tile.column + square % (TILE_W / 8) * 8 + lane / 4);
        }
    }
}
