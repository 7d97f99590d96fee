/* Any bytes as the body of POST /batch: every file lies inside the body, and the cursor only goes forward. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "master/ingest/batchbody.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ps_ingest_file file;
    struct ps_batch batch;
    struct ps_error error;
    size_t before = 0;
    int code;

    ps_batch_init(&batch, (struct ps_bytes){data, size});
    while ((code = ps_batch_next(&batch, &file, &error)) == 1) {
        assert(batch.at > before && batch.at <= size);
        assert(file.data.len == file.size);
        assert(file.size == 0 || (file.data.at >= data && file.data.at + file.data.len <= data + size));
        assert(file.tags_n <= PS_TAGS_N && file.engines_n <= PS_ENGINES_N);
        before = batch.at;
        ps_ingest_file_fini(&file);
    }
    assert(code <= 0 && (code == 0) == (batch.at == size));

    if (ps_batch_header((struct ps_bytes){data, size}, false, &file, &error) == 0)
        ps_ingest_file_fini(&file);
    return 0;
}
