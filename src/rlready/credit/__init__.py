"""Credit: the advantage and weight of each token that the policy chose; RL algorithms differ only here."""
