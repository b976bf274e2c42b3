from pathlib import Path

import pytest

pytest.importorskip("ray", reason="Ray is installed for one Python only")
torch = pytest.importorskip("torch", reason="torch is installed where its wheel is at hand")

import corewise  # noqa: E402 - after what decides whether there is anything to test

pytestmark = pytest.mark.leaves("file descriptors", "runtime", "thread limits")

TENSORS = {
    "matrix": torch.arange(6.0).reshape(2, 3),
    "transposed": torch.arange(6).reshape(2, 3).T,
    "half": torch.ones(3, dtype=torch.bfloat16),
    "number": torch.tensor(3),
    "empty": torch.empty(0, 2),
    "complex": torch.ones(2, dtype=torch.complex64).conj(),
    "sparse": torch.eye(3).to_sparse(),
    "leaf": torch.ones(2, requires_grad=True),
}


@pytest.fixture(scope="module", autouse=True)
def executors(local_cluster):
    with (
        corewise.executor("ray", workers=2) as by_value,
        corewise.executor("ray", workers=2, zero_copy_tensors=True) as in_place,
    ):
        yield {"by value": by_value, "in place": in_place}
    corewise.reset()


@pytest.mark.parametrize("how", ["by value", "in place"])
@pytest.mark.parametrize("name", TENSORS)
def test_a_tensor_crosses_there_and_back(executors, how, name):
    sent = TENSORS[name]
    [got] = executors[how].map(lambda tensor: tensor, [sent])
    for fact in ("dtype", "shape", "requires_grad", "layout"):
        assert getattr(got, fact) == getattr(sent, fact)
    assert torch.equal(got.to_dense(), sent.to_dense())


def test_a_large_tensor_is_read_in_place(executors):
    def where(tensor):
        address = tensor.data_ptr()
        for line in Path("/proc/self/maps").read_text().splitlines():
            first, last = (int(end, 16) for end in line.split()[0].split("-"))
            if first <= address < last:
                return line
        return ""

    [place] = executors["in place"].map(where, [torch.ones(1 << 22)])
    assert "plasma" in place
