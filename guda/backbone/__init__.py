"""The only seam to diffusers and peft; the method itself sees `diffusion.Backbone` alone."""
