import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler

from guda.diffusion.schedule import NoiseSchedule


@pytest.fixture
def schedule():
    ddpm = DDPMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
    return NoiseSchedule(ddpm.alphas_cumprod.double())


def test_kl_weight_is_the_general_gaussian_kl(schedule):
    """w_t ||eps - eps_hat||^2 against torch's KL between the two posteriors, computed in full."""
    g = torch.Generator().manual_seed(0)
    x0, eps, eps_hat = torch.randn(3, 4, 2, 2, generator=g).double().unbind(0)
    for step in (1, 2, 10, 500, 999):
        a, a_prev = schedule.alpha_bar[step], schedule.alpha_bar[step - 1]
        alpha, beta = a / a_prev, 1 - a / a_prev
        x_t = a.sqrt() * x0 + (1 - a).sqrt() * eps
        x0_hat = (x_t - (1 - a).sqrt() * eps_hat) / a.sqrt()
        sigma = (beta * (1 - a_prev) / (1 - a)).sqrt().expand_as(x0)

        def posterior(x, x_t=x_t, a=a, a_prev=a_prev, alpha=alpha, beta=beta, sigma=sigma):
            mean = (a_prev.sqrt() * beta * x + alpha.sqrt() * (1 - a_prev) * x_t) / (1 - a)
            return torch.distributions.Normal(mean, sigma)

        expected = torch.distributions.kl_divergence(posterior(x0), posterior(x0_hat)).sum()
        w = schedule.kl_weight(torch.tensor([step]))
        torch.testing.assert_close((w * (eps - eps_hat).square().sum())[0], expected)


@pytest.mark.parametrize("t", [0, -1, 1000])
def test_kl_weight_refuses_what_has_no_term(schedule, t):
    with pytest.raises(ValueError, match=r"1\.\.999"):
        schedule.kl_weight(torch.tensor([5, t]))


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_conversions_agree_with_diffusers(kind):
    """diffusers' own DDIM step says which eps and x0 an output means."""
    ddim = DDIMScheduler(
        beta_schedule="scaled_linear",
        prediction_type=kind,
        clip_sample=False,
        set_alpha_to_one=True,
    )
    ddim.set_timesteps(1000)
    schedule = NoiseSchedule(ddim.alphas_cumprod.double())
    g = torch.Generator().manual_seed(1)
    out, x_t = torch.randn(2, 1, 4, 8, 8, generator=g).double().unbind(0)
    t = torch.tensor([321])
    expected = ddim.step(out, 321, x_t).pred_original_sample
    eps = schedule.to_eps(out, x_t, t, kind)
    torch.testing.assert_close(schedule.to_x0(eps, x_t, t), expected, rtol=1e-5, atol=1e-5)


def test_velocity_round_trip_agrees_with_diffusers(schedule):
    ddpm = DDPMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
    g = torch.Generator().manual_seed(2)
    x0, eps = torch.randn(2, 5, 4, 8, 8, generator=g).double().unbind(0)
    t = torch.tensor([1, 50, 300, 700, 999])
    x_t = schedule.add_noise(x0, eps, t)
    torch.testing.assert_close(x_t, ddpm.add_noise(x0, eps, t), rtol=1e-5, atol=1e-6)
    v = ddpm.get_velocity(x0, eps, t)
    torch.testing.assert_close(
        schedule.to_eps(v, x_t, t, "v_prediction"), eps, rtol=1e-4, atol=1e-5
    )


def test_unknown_prediction_is_refused(schedule):
    x = torch.zeros(1, 1, 2, 2)
    with pytest.raises(ValueError, match="flow"):
        schedule.to_eps(x, x, torch.tensor([3]), "flow")
