"""What others have written for ModelsLab, against the sandbox."""
