"""Every theorem as an object that is checked numerically, with a control that must fail."""
