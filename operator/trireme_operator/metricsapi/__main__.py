"""``python -m trireme_operator.metricsapi``."""

from trireme_operator.metricsapi.main import main

if __name__ == "__main__":
    main()
