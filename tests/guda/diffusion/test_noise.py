import torch

from guda.diffusion.noise import generator, picture_key, seed_of, standard_normal


def test_noise_depends_on_every_part_and_on_nothing_else():
    first = standard_normal(0, "a", 5, 0, (4, 2, 2))
    torch.manual_seed(99)
    torch.testing.assert_close(standard_normal(0, "a", 5, 0, (4, 2, 2)), first, rtol=0, atol=0)
    for other in [(1, "a", 5, 0), (0, "b", 5, 0), (0, "a", 6, 0), (0, "a", 5, 1)]:
        assert not torch.equal(standard_normal(*other, (4, 2, 2)), first)


def test_noise_leaves_the_global_generator_alone():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    standard_normal(0, "a", 5, 0, (4, 2, 2))
    assert torch.equal(torch.rand(1), expected)


def test_noise_is_standard_normal():
    x = torch.cat([standard_normal(7, "picture", t, 0, (4, 16, 16)) for t in range(40)])
    assert abs(x.mean()) < 4 / x.numel() ** 0.5
    assert abs(x.var() - 1) < 4 * (2 / x.numel()) ** 0.5


def test_parts_cannot_run_into_each_other():
    assert seed_of("ab", "c") != seed_of("a", "bc")
    assert seed_of(1, 23) != seed_of(12, 3)


def test_seed_is_the_same_on_every_platform():
    assert seed_of("noise", 0, "a", 5, 0) == 4530672064886042218
    assert torch.rand(1, generator=generator("x")).item() == 0.8017447590827942


def test_picture_key_names_the_contents():
    x = torch.rand(3, 4, 4, generator=generator("picture"))
    assert picture_key(x) == picture_key(x.clone())
    assert picture_key(x) != picture_key(x.view(3, 2, 8))
    y = x.clone()
    y[0, 0, 0] += 1e-3
    assert picture_key(x) != picture_key(y)
